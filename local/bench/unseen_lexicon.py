"""Names of people of mixed origins, and the words of registrations, for the data on which no matcher was tuned.

English names have the frequencies of the 1990 US census (package `names`). The other names are written by hand, the most common first, in
about the order of the 2010 US census's table of surnames; their frequency falls with their rank. Nicknames are written by hand. No list
comes from a library that the matcher uses, and no combination means a real person.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from local.bench.people import read_census

ORIGINS = {"english": 0.75, "spanish": 0.08, "chinese": 0.05, "indian": 0.05, "vietnamese": 0.03, "european": 0.04}
"""Share of the families, by origin (0-1)."""

FAMILIES = {
    "spanish": "García Rodríguez Martínez Hernández López González Pérez Sánchez Ramírez Torres Flores Rivera Gómez Díaz Reyes Morales "
    "Cruz Ortiz Gutiérrez Chávez Ramos Ruiz Álvarez Mendoza Vásquez Castillo Jiménez Moreno Romero Herrera Medina Aguilar Garza Castro "
    "Vargas Guzmán Méndez Muñoz Salazar Soto Delgado Peña Ríos Alvarado Sandoval Contreras Valdez Guerrero Ortega Estrada Núñez "
    "Maldonado Vega Santiago Domínguez Espinoza Silva Padilla Márquez Cortez Rojas Acosta Figueroa Luna Juárez Navarro Campos Molina "
    "Ávila Ayala Cervantes Carrillo Cabrera Lara Meléndez Olmedo Vergara Zamora Ibarra Quiñones Villarreal Echeverría Urrutia Bustamante",
    "chinese": "Chen Wang Li Lin Liu Zhang Wu Huang Yang Chang Wong Chan Zhao Zhou Xu Sun Zhu Ma Hu Guo He Gao Luo Zheng Liang Xie Tang "
    "Deng Feng Han Cao Zeng Peng Xiao Cai Pan Tian Dong Yuan Yu Jiang Du Ye Cheng Wei Su Lu Ding Ren Shen Lau Cheung Leung Kwok Hsu Tsai",
    "indian": "Patel Singh Shah Sharma Kumar Gupta Desai Reddy Rao Mehta Joshi Nair Iyer Gandhi Agarwal Jain Verma Mishra Bhatt Kapoor "
    "Malhotra Banerjee Mukherjee Chatterjee Krishnan Srinivasan Subramanian Venkataraman Ramanathan Parikh Trivedi Kulkarni Deshpande "
    "Chaudhary Bose Das Dutta Sethi Khanna Menon Pillai Natarajan Raghavan Balakrishnan Chandrasekaran Thakkar Amin Modi Naidu Bhattacharya",
    "vietnamese": "Nguyen Tran Le Pham Huynh Vo Phan Truong Bui Dang Do Ngo Hoang Duong Vu Ly Dinh Mai Luong Trinh Cao Lam Ha Vuong",
    "european": "O'Brien|D'Angelo|Müller|van der Meer|De Luca|Schröder|Jørgensen|MacLeod|O'Connor|Kowalczyk|van den Berg|St. Clair|"
    "von Stauffen|de la Croix|Björklund|Dvořák|Novák|Lindström|Szymański|Di Stefano|O'Shaughnessy|Großmann|Wójcik|van Dyk|Del Vecchio|"
    "Papadopoulos|Kovačević|FitzGerald|Ó Súilleabháin|Lefèvre|Ten Eyck|Le Blanc|Æbelø|Krüger|Bäcker|Söderberg|Rosenbaum|Abramowitz",
}  # fmt: skip
GIVEN = {
    "spanish": (
        "José Luis|Juan|Carlos|Luis|Jesús|Miguel Ángel|Francisco|Jorge|Pedro|Alejandro|Manuel|Ricardo|Fernando|Eduardo|Roberto|Javier|Raúl|"
        "Enrique|Arturo|Héctor|Sergio|Ramón|Andrés|Óscar|Juan Carlos|Rafael|Ignacio|Guillermo|Ernesto|Rubén",
        "María|Guadalupe|Ana María|Carmen|Rosa|Patricia|Teresa|Leticia|Margarita|Gabriela|María Elena|Silvia|Verónica|Yolanda|Gloria|Martha|"
        "Lucía|Rosario|Beatriz|Alejandra|Mercedes|Josefina|Graciela|Esperanza|Dolores|María Teresa|Inés|Consuelo|Isabel|Pilar",
    ),
    "chinese": (
        "Wei|Xiao Ming|Jian Guo|Zhi Qiang|Jun|Hao|Ming|Da Wei|Guo Hua|Yong|Tian Yu|Zheng|Bo|Kai|Shi Jie|Chun Sheng|Wen Bin|Jia Hao|Han",
        "Mei|Xiu Ying|Li Na|Yan|Jing|Hui Min|Xue|Fang|Yu Lan|Mei Ling|Hong|Shu Fen|Jia Yi|Qian|Ying|Wen Jing|Lan|Xiao Hong|Ya Ting",
    ),
    "indian": (
        "Rajesh|Sanjay|Anil|Vijay|Suresh|Ramesh|Ashok|Rakesh|Manoj|Venkatesh|Srinivas|Arvind|Deepak|Harish|Kiran|Mahesh|Naveen|Prakash|"
        "Ravindra|Satish|Vikram|Jayesh|Bhavesh|Chandrakant|Gopalakrishnan|Dinesh|Mukesh|Nilesh|Pankaj|Subramaniam",
        "Sunita|Priya|Anita|Lakshmi|Meena|Kavita|Rekha|Sangeeta|Shobha|Usha|Geeta|Nirmala|Padma|Radhika|Seema|Smita|Vasanthi|Aparna|"
        "Bhavna|Deepa|Hema|Jyoti|Kalpana|Malathi|Neha|Pallavi|Saraswathi|Sudha|Vidya|Pushpa",
    ),
    "vietnamese": (
        "Hung|Minh|Tuan|Dung|Thanh|Duc|Hai|Long|Quang|Son|Khanh|Phuc|Binh|Cuong|Dat|Hoa|Loc|Nam|Phong|Tam|Trung|Viet",
        "Lan|Huong|Mai|Thuy|Nga|Phuong|Hoa|Linh|Trang|Hanh|Ngoc|Yen|Thu|Dao|Bich|Cuc|Diem|Loan|My|Nhung|Tuyet|Xuan",
    ),
    "european": (
        "Patrick|Lars|Jürgen|Pieter|Giovanni|François|Stanisław|Seán|Søren|Johannes|Luca|Tomáš|Willem|Åke|Marcel|Nikolaos|Kevin|Eamon",
        "Siobhán|Ingrid|Käthe|Anneke|Giulia|Geneviève|Małgorzata|Bridget|Maren|Zoë|Chiara|Helena|Renée|Astrid|Eleni|Maeve|Annelise|Odile",
    ),
}  # fmt: skip
PARTICLES = (
    "van der Meer", "de la Cruz", "von Hohenberg", "Di Stefano", "De Luca", "van den Berg", "Del Vecchio", "St. Clair", "O'Brien", "D'Angelo",
    "La Rosa", "Le Blanc", "bin Rashid", "al-Hakim", "Ten Eyck", "da Silva", "dos Santos", "Mac Donald", "FitzGerald", "Van Horn",
)  # fmt: skip
"""Family names with a particle."""

OTHER_SCRIPTS = (
    ("王小明", "小明", "王", True), ("李伟", "伟", "李", True), ("张丽华", "丽华", "张", True), ("陳美玲", "美玲", "陳", True),
    ("林志強", "志強", "林", True), ("黃雅婷", "雅婷", "黃", True), ("赵建国", "建国", "赵", True), ("김민준", "민준", "김", True),
    ("이서연", "서연", "이", True), ("박지훈", "지훈", "박", True), ("최은영", "은영", "최", True), ("田中 太郎", "太郎", "田中", True),
    ("鈴木 花子", "花子", "鈴木", True), ("佐藤 健", "健", "佐藤", True), ("Иван Петров", "Иван", "Петров", False),
    ("Ольга Смирнова", "Ольга", "Смирнова", False), ("Петренко Олена", "Олена", "Петренко", True),
    ("Γιώργος Νικολάου", "Γιώργος", "Νικολάου", False), ("Ελένη Δημητρίου", "Ελένη", "Δημητρίου", False),
    ("محمد الحسن", "محمد", "الحسن", False), ("فاطمة حداد", "فاطمة", "حداد", False), ("דוד כהן", "דוד", "כהן", False),
    ("שרה לוי", "שרה", "לוי", False), ("राजेश शर्मा", "राजेश", "शर्मा", False), ("सुनीता पटेल", "सुनीता", "पटेल", False),
)  # fmt: skip
"""Names in other scripts: whole name, given name, family name, and whether the family name is first."""

_AMERICAN = (
    ("Kevin", "David", "Michael", "Peter", "Andrew", "Jason", "Eric", "Tony", "Henry", "Frank", "Raymond", "Steven"),
    ("Grace", "Amy", "Jennifer", "Helen", "Linda", "Nancy", "Vivian", "Cindy", "Tina", "Michelle", "Emily", "Susan"),
)
_NICKNAMES = {
    "Robert": "Bob Bobby Robbie", "William": "Bill Billy Willie", "Richard": "Rick Dick Richie", "James": "Jim Jamie Jimmy",
    "John": "Jack Johnny", "Charles": "Chuck Charlie Chas", "Thomas": "Tom Tommy", "Joseph": "Joe Joey", "Edward": "Ed Ned Eddie",
    "Michael": "Mike Mickey", "David": "Dave Davy", "Daniel": "Dan", "Matthew": "Matt", "Gregory": "Greg", "Jeffrey": "Jeff",
    "Stephen": "Steve", "Ronald": "Ron Ronnie", "Donald": "Don Donnie", "Gerald": "Jerry", "Lawrence": "Larry Lars", "Walter": "Walt Wally",
    "Frederick": "Fred Fritz", "Leonard": "Len Lenny", "Philip": "Phil", "Raymond": "Ray", "Nicholas": "Nick", "Theodore": "Ted Teddy",
    "Albert": "Al Bert", "Alfred": "Al Fred", "Harold": "Hal Harry", "Eugene": "Gene", "Francis": "Frank Fran", "Kenneth": "Ken Kenny",
    "Margaret": "Peg Meg Marge Greta", "Elizabeth": "Betsy Libby Liz Beth", "Katherine": "Kathy Kate Kitty", "Dorothy": "Dottie Dolly",
    "Patricia": "Pat Patsy Tricia", "Barbara": "Barb Bobbie", "Susan": "Sue Suzy", "Deborah": "Deb Debbie", "Jacqueline": "Jackie",
    "Virginia": "Ginny", "Eleanor": "Ellie Nell", "Frances": "Fran Frankie", "Judith": "Judy", "Pamela": "Pam", "Kathleen": "Kathy Kay",
    "Florence": "Flo Flossie", "Josephine": "Jo Josie", "Abigail": "Abby Gail", "Rebecca": "Becky", "Victoria": "Vicki Tori",
    "Constance": "Connie", "Mildred": "Millie", "Gertrude": "Trudy Gert", "Beverly": "Bev", "Janet": "Jan", "Roberta": "Bobbie Robin",
    "Francisco": "Paco Pancho Frank", "José Luis": "Pepe Joe", "Jesús": "Chuy", "Enrique": "Kike Henry", "Guadalupe": "Lupe",
    "Rosario": "Charo", "María Teresa": "Maite Tere", "Ignacio": "Nacho", "Dolores": "Lola", "Roberto": "Beto", "Guillermo": "Memo",
    "Venkatesh": "Venky", "Rajesh": "Raj", "Srinivas": "Srini", "Subramaniam": "Subra Mani", "Gopalakrishnan": "Gopal", "Vikram": "Vik",
    "Chandrakant": "Chandu", "Saraswathi": "Saras", "Johannes": "Hans Jan", "Stanisław": "Stan Staszek", "Małgorzata": "Gosia Margaret",
    "Patrick": "Pat Paddy", "Giovanni": "John Gianni", "Helena": "Lena",
}  # fmt: skip
_COMMON = (
    ("James", "John", "Robert", "Michael", "William"),
    ("Mary", "Patricia", "Linda", "Barbara", "Elizabeth"),
    ("Smith", "Johnson", "Williams", "Brown", "Jones", "Davis", "Miller"),
)


class FullName(NamedTuple):
    """A person's true name.

    Attributes:
        origin: One of `ORIGINS`.
        sex: `M` or `F`.
        given: Given name, which may have several words.
        middle: Middle name; for an Indian name the father's name. None if there is none.
        family: Family names: two for a Spanish name, else one.
        called: Other given names that the person uses.
    """

    origin: str
    sex: str
    given: str
    middle: str | None
    family: tuple[str, ...]
    called: tuple[str, ...]

    @property
    def last(self) -> str:
        """The family names, separated by blanks."""
        return " ".join(self.family)


def draw_origin(draw: random.Random) -> str:
    """Return the origin of a family."""
    return draw.choices([*ORIGINS], [*ORIGINS.values()])[0]


def draw_family(draw: random.Random, origin: str) -> tuple[str, ...]:
    """Return the family names of a person of this origin."""
    if origin == "english":
        names, weights = read_census("all.last")
        while (name := draw.choices(names, cum_weights=weights)[0]) in _FOREIGN:
            pass
        return (f"Mc{name[2:].capitalize()}" if name.startswith("Mc") and len(name) > 4 else name,)
    return tuple(_by_rank(draw, _FAMILIES[origin]) for _ in range(2 if origin == "spanish" else 1))


def draw_name(
    draw: random.Random, origin: str, sex: str, family: tuple[str, ...] | None = None, *, is_common: bool = False
) -> FullName:
    """Return the name of a person.

    Args:
        draw: Source of randomness.
        origin: One of `ORIGINS`.
        sex: `M` or `F`.
        family: Family names; None to draw them.
        is_common: Whether the name is one of the most common in English, such as Mary Johnson; then the other arguments apply only in part.
    """
    side = "MF".index(sex)
    if is_common:
        return FullName(
            "english",
            sex,
            draw.choice(_COMMON[side]),
            draw.choice("ABCDEJLMRW"),
            family or (draw.choice(_COMMON[2]),),
            (),
        )
    given, middle = (_draw_given(draw, origin, side) for _ in range(2))
    called = tuple(_NICKNAMES.get(given, "").split())
    if origin in ("chinese", "vietnamese"):
        called = (draw.choice(_AMERICAN[side]),) if draw.random() < 0.5 else ()
        middle = draw.choice(("Van", "Thi", "Duc", "Ngoc")) if origin == "vietnamese" else ""
    elif origin == "indian":
        middle = _draw_given(draw, origin, 0)
    elif origin == "spanish":
        middle = ""
    has_middle = bool(middle) and draw.random() < 0.85
    return FullName(origin, sex, given, middle if has_middle else None, family or draw_family(draw, origin), called)


def _draw_given(draw: random.Random, origin: str, side: int) -> str:
    if origin == "english":
        names, weights = read_census(("male.first", "female.first")[side])
        return draw.choices(names, cum_weights=weights)[0]
    return _by_rank(draw, GIVEN[origin][side].split("|"))


def _by_rank(draw: random.Random, names: list[str]) -> str:
    return draw.choices(names, [1 / (rank + 3) for rank in range(len(names))])[0]


_FAMILIES = {origin: text.split("|" if "|" in text else None) for origin, text in FAMILIES.items()}
_ASCII = str.maketrans("áéíóúñÁÉÍÓÚ", "aeiounAEIOU")
_FOREIGN = {name.translate(_ASCII) for origin in ("spanish", "chinese", "indian", "vietnamese") for name in _FAMILIES[origin]}  # fmt: skip
