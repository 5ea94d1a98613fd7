"""Labeled street lines: line, house number, street name without its kind, and unit; `-` if there is none."""

from __future__ import annotations

_LINES = """
12 North Main St, Apt 4 | 12 | n main | 4
12 N. Main Street #4 | 12 | n main | 4
12 Main St 4B | 12 | main | 4b
12 Main Street Unit 4-B | 12 | main | 4b
12 Main St # 4B | 12 | main | 4b
12 MAIN ST APT 4B | 12 | main | 4b
1840 Oak Ave, Suite 200 | 1840 | oak | 200
1840 Oak Avenue Ste 200 | 1840 | oak | 200
1840 Oak Ave Ste. #200 | 1840 | oak | 200
500 Lake Shore Blvd Rm 12 | 500 | lake shore | 12
33 Elm Ct Lot 7 | 33 | elm | 7
33 Elm Ct Bldg 2 Apt 301 | 33 | elm | 2301
900 Pine Rd Building C Unit 5 | 900 | pine | c5
900 Pine Rd, Bldg C, Unit 5 | 900 | pine | c5
7 Cedar Ln Apt A | 7 | cedar | a
7 Cedar Lane, Apartment A | 7 | cedar | a
7 Cedar Ln A | 7 | cedar | a
22 Birch Dr No. 9 | 22 | birch | 9
22 Birch Drive Apt 009 | 22 | birch | 9
410 Walnut St Apt 12-C | 410 | walnut | 12c
410 Walnut St Apt C12 | 410 | walnut | c12
77 Oak Ln 3rd Floor | 77 | oak | 3
77 Oak Ln, Fl 3 | 77 | oak | 3
77 Oak Ln Floor 3 | 77 | oak | 3
77 Oak Ln, Third Floor | 77 | oak | 3
77 Oak Ln 2nd Fl | 77 | oak | 2
77 Oak Ln 12th Floor | 77 | oak | 12
1 Penn Plz Fl 36 | 1 | penn | 36
1 Penn Plaza, 36th Floor | 1 | penn | 36
200 Park Ave 17th Floor Suite 1701 | 200 | park | 171701
60 Wall St Penthouse | 60 | wall | ph
60 Wall St PH | 60 | wall | ph
60 Wall St PH 2 | 60 | wall | ph2
60 Wall Street Penthouse 2 | 60 | wall | ph2
60 Wall Street, PH-2 | 60 | wall | ph2
18 Grove St Bsmt | 18 | grove | bsmt
18 Grove St Basement | 18 | grove | bsmt
18 Grove St Rear | 18 | grove | rear
18 Grove St, Upper | 18 | grove | upper
18 Grove St Lower | 18 | grove | lower
18 Grove Street Front | 18 | grove | front
Apt 4, 12 Main St | 12 | main | 4
Apt 4B, 12 N Main Street | 12 | n main | 4b
Unit 5 12 Main St | 12 | main | 5
#5 12 Main St | 12 | main | 5
Suite 200, 1840 Oak Ave | 1840 | oak | 200
PO Box 123 | 123 | po box | -
P.O. Box 123 | 123 | po box | -
P. O. Box 123 | 123 | po box | -
P O Box 123 | 123 | po box | -
POB 123 | 123 | po box | -
Post Office Box 123 | 123 | po box | -
PO BOX 4471 | 4471 | po box | -
P.O.Box 88 | 88 | po box | -
Box 123 | 123 | box | -
12 Main St W | 12 | main w | -
12 Main St. West | 12 | main w | -
12 West Main St | 12 | w main | -
12 W. Main St | 12 | w main | -
1600 Pennsylvania Ave NW | 1600 | pennsylvania nw | -
1600 Pennsylvania Avenue N.W. | 1600 | pennsylvania nw | -
1600 Pennsylvania Avenue Northwest | 1600 | pennsylvania nw | -
1600 NW Pennsylvania Ave | 1600 | nw pennsylvania | -
1600 N.W. Pennsylvania Ave | 1600 | nw pennsylvania | -
1600 Northwest Pennsylvania Ave | 1600 | nw pennsylvania | -
300 S.E. 2nd St | 300 | se 2nd | -
300 SE Second Street | 300 | se 2nd | -
300 Southeast 2nd Street Apt 1105 | 300 | se 2nd | 1105
2401 Wisconsin Ave NW Apt 4 | 2401 | wisconsin nw | 4
2401 Wisconsin Ave NW #4 | 2401 | wisconsin nw | 4
2401 Wisconsin Ave., N.W., Unit 4 | 2401 | wisconsin nw | 4
1200 S 500 W | 1200 | s 500 w | -
1200 South 500 West | 1200 | s 500 w | -
1200 E 5400 S Apt 3 | 1200 | e 5400 s | 3
350 5th Ave | 350 | 5th | -
350 Fifth Avenue | 350 | 5th | -
350 5th Avenue, Fl 20 | 350 | 5th | 20
350 Fifth Ave Ste 4100 | 350 | 5th | 4100
101 1st St | 101 | 1st | -
101 First Street | 101 | 1st | -
101 Second Ave | 101 | 2nd | -
101 W 42nd St | 101 | w 42nd | -
101 West 42nd Street, 14th Floor | 101 | w 42nd | 14
240 E 13th St Apt 2R | 240 | e 13th | 2r
240 E 13th St 2R | 240 | e 13th | 2r
810 Tenth Ave | 810 | 10th | -
12 12 Mile Rd | 12 | 12 mile | -
2550 12 Mile Rd | 2550 | 12 mile | -
5 5 Oaks Ln | 5 | 5 oaks | -
45-10 21st St 3R | 45-10 | 21st | 3r
45-10 21st Street, Apt 3R | 45-10 | 21st | 3r
108-15 72nd Ave | 108-15 | 72nd | -
108-15 72nd Avenue #5F | 108-15 | 72nd | 5f
12-14 Main St | 12-14 | main | -
25-38 Crescent St | 25-38 | crescent | -
75-5 Kuhio Hwy | 75-5 | kuhio | -
123A Main St | 123a | main | -
123-A Main St | 123-a | main | -
12 1/2 Main St | 12-1-2 | main | -
12 1/2 Main St Apt 2 | 12-1-2 | main | 2
N6W23001 Bluemound Rd | n6w23001 | bluemound | -
W204N11912 Goldendale Rd | w204n11912 | goldendale | -
One Liberty Plaza | 1 | liberty | -
1 Liberty Plz | 1 | liberty | -
One Main Street | 1 | main | -
Two Commerce Square | 2 | commerce | -
Ten Post Office Square | 10 | post office | -
1234 County Road 12 | 1234 | county 12 | -
1234 County Rd 12 | 1234 | county 12 | -
100 Highway 20 | 100 | 20 | -
100 Hwy 20 | 100 | 20 | -
100 US Highway 20 | 100 | us 20 | -
100 U.S. Hwy 20 | 100 | us 20 | -
100 US Hwy 20 Unit 3 | 100 | us 20 | 3
4410 State Highway 7 | 4410 | state 7 | -
4410 State Hwy 7 | 4410 | state 7 | -
880 State Route 32 | 880 | state 32 | -
880 State Rte 32 | 880 | state 32 | -
880 Route 9W | 880 | 9w | -
880 Rte 9W | 880 | 9w | -
14500 FM 1960 Rd W | 14500 | fm 1960 w | -
RR 2 Box 45 | 45 | rr 2 box | -
12 Avenue B | 12 | b | -
12 Avenue of the Americas | 12 | of the americas | -
1221 Avenue of the Americas, 34th Floor | 1221 | of the americas | 34
12 Court St | 12 | court | -
12 Court Street Apt 5 | 12 | court | 5
12 Park Place Ct | 12 | park | -
12 Church St | 12 | church | -
12 Martin Luther King Jr Blvd | 12 | martin luther king jr | -
12 Martin Luther King Jr. Boulevard #8 | 12 | martin luther king jr | 8
12 O'Brien Ln | 12 | obrien | -
12 Fox-Hollow Rd | 12 | fox-hollow | -
9 Whispering Pines Trl | 9 | whispering pines | -
9 Whispering Pines Trail | 9 | whispering pines | -
31 Quail Run | 31 | quail | -
31 Quail Run Unit B | 31 | quail | b
6 Pelican Cv | 6 | pelican | -
6 Pelican Cove | 6 | pelican | -
14 Eagle Pt | 14 | eagle | -
14 Eagle Point | 14 | eagle | -
27 Willow Bend | 27 | willow | -
27 Willow Bnd | 27 | willow | -
5 Deer Xing | 5 | deer | -
5 Deer Crossing | 5 | deer | -
8 Stone Aly | 8 | stone | -
8 Stone Alley | 8 | stone | -
4100 Turtle Creek Blvd | 4100 | turtle creek | -
21 The Greenway | 21 | the greenway | -
100 Tower Plaza Apt. 319 | 100 | tower | 319
5600 Central Expy N | 5600 | central n | -
5600 Central Expressway North | 5600 | central n | -
12 n main | 12 | n main | -
12 Broadway | 12 | broadway | -
12 Broadway Apt 6 | 12 | broadway | 6
1500 Broadway, 20th Fl | 1500 | broadway | 20
12 Calle Ocho | 12 | calle ocho | -
The Avenue | - | the | -
Court | - | court | -
Rosewood Manor | - | rosewood manor | -
8 Old Mill Rd | 8 | old mill | -
8 Old Mill Road, Apt 2A | 8 | old mill | 2a
415 NE Martin Luther King Blvd #210 | 415 | ne martin luther king | 210
2200 Sand Hill Road, Building 3, Suite 150 | 2200 | sand hill | 3150
55 E Monroe St Ste 3900 | 55 | e monroe | 3900
55 East Monroe Street, 39th Fl. | 55 | e monroe | 39
3 Sixth St. | 3 | 6th | -
19 W. 4th Street, Apt. 3-F | 19 | w 4th | 3f
PO Box 12 B | 12 | po box b | -
P.O. BOX 3300-B | 3300-b | po box | -
700 12th St NW Ste 700 | 700 | 12th nw | 700
700 Twelfth Street NW, Suite 700 | 700 | 12th nw | 700
2 Saint Andrews Pl | 2 | saint andrews | -
10250 Santa Monica Blvd. | 10250 | santa monica | -
6420 Wilshire Blvd Floor 9 | 6420 | wilshire | 9
1 World Trade Center, Suite 8500 | 1 | world trade center | 8500
87-41 111th Street | 87-41 | 111th | -
87-41 111th St, #2 | 87-41 | 111th | 2
3900 Ranch Road 620 S | 3900 | ranch 620 s | -
1015 Interstate 35 N | 1015 | interstate 35 n | -
4B Garden Ct | 4b | garden | -
221B Baker Street | 221b | baker | -
17 1/2 Second Ave, Rear | 17-1-2 | 2nd | rear
1100 N Lake Shore Dr Unit 12A | 1100 | n lake shore | 12a
1100 North Lake Shore Drive 12A | 1100 | n lake shore | 12a
900 S. Avenue 60 | 900 | s 60 | -
4 Kings Highway | 4 | kings | -
4 Kings Hwy S | 4 | kings s | -
9805 NE 116th St PMB 334 | 9805 | ne 116th | 334
12 Harbor View Ter, Apt. PH4 | 12 | harbor view | ph4
830 Upper Terrace | 830 | upper | -
60 Rear Main St | 60 | rear main | -
1500 S.W. First Avenue, Suite 1100 | 1500 | sw 1st | 1100
11 Park Ave S Apt 9 | 11 | park s | 9
11 Park Avenue South, Apt. 9 | 11 | park s | 9
3 Rue de la Paix | 3 | rue de la paix | -
333 Las Olas Way CU1 | 333 | las olas | cu1
2525 Ponce de Leon Blvd, 4th Floor | 2525 | ponce de leon | 4
12 Mtn View Rd | 12 | mtn view | -
120 N.E. 5 St | 120 | ne 5 | -
5W455 Oak Ln | 5w455 | oak | -
38W100 Silver Glen Rd | 38w100 | silver glen | -
6 Cross Creek Xing Apt 1 | 6 | cross creek | 1
77 Sunset Strip Apt G-7 | 77 | sunset strip | g7
Seven Hanover Square, 5th floor | 7 | hanover | 5
1 Circle Dr | 1 | circle | -
9 The Crescent | 9 | the | -
10 Downing Street, Flat 2 | 10 | downing | 2
"""
_MISREAD = """
7421 Farm to Market Road 1488 | 7421 | farm to market 1488 | -
44 Ridge Trail Lower Level | 44 | ridge | lowerlevel
"""


def _read(text: str) -> tuple[tuple[str | None, ...], ...]:
    lines = (line.split(" | ") for line in text.strip().splitlines())
    return tuple((line, *(None if part == "-" else part for part in parts)) for line, *parts in lines)


LINES = _read(_LINES)
MISREAD = _read(_MISREAD)
"""Lines that `read_street` does not read as labeled."""
