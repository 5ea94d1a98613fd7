"""The securities of the synthetic firm, the NYSE's sessions, and a price for every session.

Tickers and names are real. Each security's first price is near its real level; later prices are a seeded random walk. CUSIPs
are fictitious: they begin with 99, a range for private use. One stock splits without an announcement.
"""

import bisect
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

import exchange_calendars

CENT = Decimal("0.01")
SPLIT_TICKER, SPLIT_RATIO, SPLIT_SESSION = "COST", 2, 45
"""The one stock split: its ticker, new shares per old share, and the index of its session in the firm's history."""


@dataclass(frozen=True, slots=True)
class Security:
    """One security. `payout` is how it pays dividends: `cash`, `reinvested`, or empty for none."""

    id: int
    ticker: str | None
    name: str
    product_type: str
    sub_type: str
    asset_class: str
    category: str
    category_code: str
    price: str
    volatility: float
    payout: str = ""
    fund_family: str | None = None

    @property
    def is_cash(self) -> bool:
        """Return whether this is the custodian's cash, whose price is always 1."""
        return self.id == CASH_ID

    @property
    def cusip(self) -> str:
        """Return a CUSIP of nine digits in the range for private use, with a valid check digit at the end."""
        return _number(self.id)


@cache
def _number(security_id: int) -> str:
    stem = f"99{security_id:04d}10"
    digits = (int(d) * (1 + i % 2) for i, d in enumerate(stem))
    return stem + str(-sum(d // 10 + d % 10 for d in digits) % 10)


CASH_ID = 1
_STOCK = ("StockOrETF", "Common Stock", "US Equity", "Large Cap Equity", "LCE")
_ETF = ("StockOrETF", "ETF", "US Equity", "Large Blend", "LB")
_BOND_ETF = ("StockOrETF", "ETF", "Fixed Income", "Intermediate Bond", "IB")
_FUND = ("MutualFund", "Open-End Fund", "US Equity", "Large Blend", "LB")
_BOND_FUND = ("MutualFund", "Open-End Fund", "Fixed Income", "Intermediate Bond", "IB")
_ABROAD = ("StockOrETF", "ETF", "International Equity", "Foreign Large Blend", "FB")
# DIA really is a unit investment trust: a value outside the documented enumeration of product types.
_TRUST = ("UnitInvestmentTrust", "ETF", "US Equity", "Large Value", "LV")
_DEBT = ("Bond", "Treasury", "Fixed Income", "Government", "GOV")
_CD = ("CD", "Certificate of Deposit", "Fixed Income", "Short-Term Bond", "STB")

_LISTED: tuple[tuple[str | None, str, tuple[str, str, str, str, str], str, float, str, str | None], ...] = (
    ("AAPL", "Apple Inc", _STOCK, "231.40", 0.28, "cash", None),
    ("MSFT", "Microsoft Corp", _STOCK, "428.15", 0.25, "cash", None),
    ("NVDA", "NVIDIA Corp", _STOCK, "138.60", 0.45, "cash", None),
    ("AMZN", "Amazon.com Inc", _STOCK, "201.75", 0.32, "", None),
    ("GOOGL", "Alphabet Inc Class A", _STOCK, "176.90", 0.29, "cash", None),
    ("META", "Meta Platforms Inc", _STOCK, "566.20", 0.35, "cash", None),
    ("BRK.B", "Berkshire Hathaway Inc Class B", _STOCK, "468.30", 0.17, "", None),
    ("JPM", "JPMorgan Chase & Co", _STOCK, "243.10", 0.24, "cash", None),
    ("JNJ", "Johnson & Johnson", _STOCK, "155.20", 0.16, "cash", None),
    ("PG", "Procter & Gamble Co", _STOCK, "172.80", 0.16, "cash", None),
    ("KO", "Coca-Cola Co", _STOCK, "63.40", 0.15, "cash", None),
    ("XOM", "Exxon Mobil Corp", _STOCK, "119.30", 0.25, "cash", None),
    ("HD", "Home Depot Inc", _STOCK, "405.60", 0.23, "cash", None),
    ("UNH", "UnitedHealth Group Inc", _STOCK, "588.40", 0.26, "cash", None),
    ("V", "Visa Inc Class A", _STOCK, "309.90", 0.20, "cash", None),
    ("COST", "Costco Wholesale Corp", _STOCK, "932.50", 0.22, "cash", None),
    ("PEP", "PepsiCo Inc", _STOCK, "160.10", 0.17, "cash", None),
    ("DIS", "Walt Disney Co", _STOCK, "114.30", 0.28, "cash", None),
    ("VZ", "Verizon Communications Inc", _STOCK, "42.10", 0.20, "cash", None),
    ("CAT", "Caterpillar Inc", _STOCK, "389.20", 0.27, "cash", None),
    ("SPY", "SPDR S&P 500 ETF Trust", _ETF, "596.80", 0.16, "cash", "State Street"),
    ("VOO", "Vanguard S&P 500 ETF", _ETF, "548.70", 0.16, "cash", "Vanguard"),
    ("VTI", "Vanguard Total Stock Market ETF", _ETF, "295.60", 0.17, "cash", "Vanguard"),
    ("QQQ", "Invesco QQQ Trust", _ETF, "505.80", 0.22, "cash", "Invesco"),
    ("IWM", "iShares Russell 2000 ETF", _ETF, "238.80", 0.23, "cash", "iShares"),
    ("SCHD", "Schwab US Dividend Equity ETF", _ETF, "29.10", 0.15, "cash", "Schwab"),
    ("DIA", "SPDR Dow Jones Industrial Average ETF Trust", _TRUST, "442.90", 0.15, "cash", "State Street"),
    ("AGG", "iShares Core US Aggregate Bond ETF", _BOND_ETF, "98.60", 0.06, "cash", "iShares"),
    ("BND", "Vanguard Total Bond Market ETF", _BOND_ETF, "73.10", 0.06, "cash", "Vanguard"),
    ("TLT", "iShares 20+ Year Treasury Bond ETF", _BOND_ETF, "90.40", 0.14, "cash", "iShares"),
    ("MUB", "iShares National Muni Bond ETF", _BOND_ETF, "107.20", 0.05, "cash", "iShares"),
    ("VXUS", "Vanguard Total International Stock ETF", _ABROAD, "60.90", 0.16, "cash", "Vanguard"),
    ("EFA", "iShares MSCI EAFE ETF", _ABROAD, "77.60", 0.16, "cash", "iShares"),
    ("VWO", "Vanguard FTSE Emerging Markets ETF", _ABROAD, "45.30", 0.18, "cash", "Vanguard"),
    ("VFIAX", "Vanguard 500 Index Fund Admiral", _FUND, "552.30", 0.16, "reinvested", "Vanguard"),
    ("VTSAX", "Vanguard Total Stock Market Index Admiral", _FUND, "143.20", 0.17, "reinvested", "Vanguard"),
    ("FXAIX", "Fidelity 500 Index Fund", _FUND, "207.90", 0.16, "reinvested", "Fidelity"),
    ("FCNTX", "Fidelity Contrafund", _FUND, "22.60", 0.19, "reinvested", "Fidelity"),
    (
        "AGTHX",
        "American Funds Growth Fund of America A",
        _FUND,
        "84.70",
        0.19,
        "reinvested",
        "American Funds",
    ),
    ("DODGX", "Dodge & Cox Stock Fund I", _FUND, "277.40", 0.16, "reinvested", "Dodge & Cox"),
    ("PRGFX", "T. Rowe Price Growth Stock Fund", _FUND, "108.90", 0.21, "reinvested", "T. Rowe Price"),
    ("VBTLX", "Vanguard Total Bond Market Index Admiral", _BOND_FUND, "9.62", 0.06, "reinvested", "Vanguard"),
    ("PTTRX", "PIMCO Total Return Fund Instl", _BOND_FUND, "8.54", 0.06, "reinvested", "PIMCO"),
    ("DODIX", "Dodge & Cox Income Fund I", _BOND_FUND, "12.58", 0.06, "reinvested", "Dodge & Cox"),
    (None, "US Treasury Note 4.25% 11/15/2034", _DEBT, "0.9856", 0.05, "", None),
    (None, "Sample Bank NA CD 4.10% 06/30/2028", _CD, "1.0012", 0.01, "", None),
)

SECURITIES: tuple[Security, ...] = (
    Security(CASH_ID, None, "Custodial Cash", "None", "Cash", "Cash", "Cash", "CASH", "1", 0.0),
    *(
        Security(100 + number, ticker, name, *kind, price, volatility, payout, family)
        for number, (ticker, name, kind, price, volatility, payout, family) in enumerate(_LISTED, 1)
    ),
)
CASH = SECURITIES[0]


@cache
def list_sessions() -> tuple[date, ...]:
    """Return every NYSE session from twenty years ago to one year ahead."""
    return tuple(session.date() for session in exchange_calendars.get_calendar("XNYS").sessions)


def find_session(day: date) -> date:
    """Return `day` if it is a session, or else the last session before it."""
    sessions = list_sessions()
    return sessions[bisect.bisect_right(sessions, day) - 1]


def find_closed_session(now: datetime) -> date:
    """Return the latest session that has closed by `now` (UTC)."""
    calendar = exchange_calendars.get_calendar("XNYS")
    session = find_session(now.date())
    if calendar.session_close(session.isoformat()).to_pydatetime().astimezone(UTC) <= now:
        return session
    return list_sessions()[bisect.bisect_left(list_sessions(), session) - 1]


def slice_sessions(first: date, last: date) -> Sequence[date]:
    """Return the sessions from `first` through `last`. The two days need not be sessions."""
    sessions = list_sessions()
    return sessions[bisect.bisect_left(sessions, first) : bisect.bisect_right(sessions, last)]


def round_money(amount: Decimal) -> Decimal:
    """Round `amount` to cents; round half a cent away from zero."""
    return amount.quantize(CENT, ROUND_HALF_UP)


class Market:
    """Closing prices of all securities, from the firm's first session on.

    Args:
        seed: Seed of the random walks.
        first: First session. For an earlier day, `find_price` returns the price of this session.
        last: Last session. A later one adds prices and changes none.
    """

    def __init__(self, seed: int, first: date, last: date) -> None:
        self.sessions = slice_sessions(first, last)
        self._prices = {security.id: self._walk(seed, security) for security in SECURITIES}
        self._corrected: dict[tuple[int, date], Decimal] = {}

    def _walk(self, seed: int, security: Security) -> list[Decimal]:
        if security.is_cash:
            return [Decimal(1)] * len(self.sessions)
        draw = random.Random(f"{seed}:price:{security.id}")
        places = 4 if security.product_type in ("Bond", "CD") else 2
        price, prices = float(security.price), []
        for index in range(len(self.sessions)):
            if security.ticker == SPLIT_TICKER and index == SPLIT_SESSION:
                price /= SPLIT_RATIO
            prices.append(Decimal(f"{price:.{places}f}"))
            price *= math.exp(draw.gauss(0.0002, security.volatility / math.sqrt(252)))
        return prices

    def correct_price(self, security_id: int, day: date, price: Decimal) -> None:
        """Replace the closing price of `day`, or of the last session before it."""
        self._corrected[security_id, find_session(day)] = price

    def find_price(self, security_id: int, day: date) -> Decimal:
        """Return the closing price of `day`, or of the last session before it, with corrections applied."""
        index = max(bisect.bisect_right(self.sessions, day) - 1, 0)
        if self._corrected:
            corrected = self._corrected.get((security_id, self.sessions[index]))
            if corrected is not None:
                return corrected
        return self._prices[security_id][index]
