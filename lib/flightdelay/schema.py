"""The tables of the example: columns, units, keys and layouts, the same for every engine."""

from flightdelay import source
from stagebook import Column, Kind, Layout, TableSchema

FLIGHT_KEY = ("time_hour", "carrier", "flight", "origin")
"""The key of every table that has one row per scheduled flight."""

WHOLE_YEAR = Layout(
    z_order=("time_hour", "origin"),
    reason=(
        "A year of flights is some ten megabytes, far below one gigabyte a partition: no partitioning. "
        "Readers ask for a span of time, then for an airport: ordered by the hour, one file's row groups prune."
    ),
)
SMALL = Layout(reason="A few thousand rows: one file, read whole; nothing to prune.")

_KEY_COLUMNS = (
    Column("time_hour", Kind.TIMESTAMP, "hour of the scheduled departure, an instant", unit="UTC"),
    Column("carrier", Kind.STRING, "two-character code of the airline"),
    Column("flight", Kind.INT32, "flight number of the airline", minimum=1),
    Column("origin", Kind.STRING, "airport of departure (FAA code)", allowed=("EWR", "JFK", "LGA")),
)
_DEP_DATE = Column("dep_date_local", Kind.DATE, "day of the scheduled departure on the clock of New York")
_DEP_HOUR = Column(
    "dep_hour_local", Kind.INT16, "hour of the scheduled departure in New York", "h", minimum=0, maximum=23
)
_DEP_MINUTE = Column("dep_minute", Kind.INT16, "minute of the scheduled departure", "min", minimum=0, maximum=59)
_SCHED_DEP = Column("sched_dep_at", Kind.TIMESTAMP, "scheduled departure, an instant", unit="UTC")
_DEST = Column("dest", Kind.STRING, "airport of arrival (FAA code)")
_DISTANCE = Column("distance_mi", Kind.INT32, "distance between the airports", unit="mi", minimum=1)
_DURATION = Column(
    "sched_duration_min", Kind.INT32, "scheduled departure to scheduled arrival", "min", minimum=1, maximum=1440
)
_ARR_DELAY = Column(
    "arr_delay_min", Kind.INT32, "minutes behind schedule at arrival; null where the flight never arrived",
    "min", nullable=True, minimum=-1440, maximum=4320,
)  # fmt: skip
_MODEL_VERSION = Column("model_version", Kind.STRING, "version of the registered model")


def _clock(name: str, description: str, *, nullable: bool = False) -> Column:
    return Column(name, Kind.INT16, description, "hhmm", nullable, minimum=0, maximum=2400)


def _share(name: str, description: str, *, nullable: bool = False) -> Column:
    return Column(name, Kind.FLOAT64, description, "0..1", nullable, minimum=0, maximum=1)


FLIGHTS = TableSchema(
    name="flights",
    description="Every flight scheduled to leave New York, flown or not.",
    columns=(
        *_KEY_COLUMNS,
        Column("tailnum", Kind.STRING, "aircraft; null where none was recorded (cancelled)", nullable=True),
        _DEST,
        _DEP_DATE,
        _DEP_HOUR,
        _DEP_MINUTE,
        _clock("dep_clock_local", "actual departure on the clock of New York; null if it never left", nullable=True),
        _clock("sched_arr_clock_local", "scheduled arrival on the clock of the destination"),
        _clock("arr_clock_local", "actual arrival on the clock of the destination; null if unknown", nullable=True),
        _SCHED_DEP,
        Column("sched_arr_at", Kind.TIMESTAMP, "scheduled arrival, an instant", unit="UTC"),
        _DURATION,
        Column("dep_at", Kind.TIMESTAMP, "actual departure; null if it never left", "UTC", nullable=True),
        Column("arr_at", Kind.TIMESTAMP, "actual arrival; null if it never arrived", "UTC", nullable=True),
        Column("dep_delay_min", Kind.INT32, "minutes behind schedule at departure", "min", True, -1440, 4320),
        _ARR_DELAY,
        Column("air_time_min", Kind.INT32, "minutes in the air", "min", nullable=True, minimum=1, maximum=1440),
        _DISTANCE,
    ),
    key=FLIGHT_KEY,
    layout=WHOLE_YEAR,
)

WEATHER_MEASURES = (
    Column("temp_f", Kind.FLOAT64, "temperature", "°F", True, -60, 130),
    Column("dewpoint_f", Kind.FLOAT64, "dew point", "°F", True, -80, 100),
    Column("humidity_pct", Kind.FLOAT64, "relative humidity", "%", True, 0, 100),
    Column("wind_dir_deg", Kind.INT16, "direction the wind comes from; 0 is calm", "°", True, 0, 360),
    Column("wind_speed_mph", Kind.FLOAT64, "wind speed", "mph", True, 0, 200),
    Column("wind_gust_mph", Kind.FLOAT64, "speed of gusts; null where none were reported", "mph", True, 0, 250),
    Column("precip_in", Kind.FLOAT64, "precipitation in the hour", "in", True, 0, 20),
    Column("pressure_mb", Kind.FLOAT64, "pressure at sea level", "mb", True, 850, 1100),
    Column("visibility_mi", Kind.FLOAT64, "visibility; 10 is the most that is reported", "mi", True, 0, 10),
)
"""Hourly measurements. One wind speed in the source, 1,048 mph, is beyond its bound: its row is refused."""

WEATHER = TableSchema(
    name="weather",
    description="Hourly weather at the airports of departure.",
    columns=(
        _KEY_COLUMNS[3],
        Column("time_hour", Kind.TIMESTAMP, "hour of the observation, an instant", unit="UTC"),
        Column("date_local", Kind.DATE, "day on the clock of New York"),
        Column("hour_local", Kind.INT16, "hour on the clock of New York; 1 comes twice in November", "h", False, 0, 23),
        *WEATHER_MEASURES,
    ),
    key=("origin", "time_hour"),
    layout=SMALL,
    max_bad_share=0.001,
)

PLANES = TableSchema(
    name="planes",
    description="Aircraft, by tail number.",
    columns=(
        Column("tailnum", Kind.STRING, "tail number"),
        Column("built_year", Kind.INT16, "year of manufacture (`year` at the source)", "year", True, 1900, 2100),
        Column("plane_type", Kind.STRING, "kind of aircraft"),
        Column("manufacturer", Kind.STRING, "manufacturer"),
        Column("model", Kind.STRING, "model"),
        Column("engines", Kind.INT16, "number of engines", minimum=1, maximum=8),
        Column("seats", Kind.INT16, "number of seats", minimum=1, maximum=900),
        Column("cruise_speed_mph", Kind.INT16, "cruising speed; nearly always missing", "mph", True, 1, 1500),
        Column("engine_type", Kind.STRING, "kind of engine"),
    ),
    key=("tailnum",),
    layout=SMALL,
)

AIRPORTS = TableSchema(
    name="airports",
    description="Airports, by FAA code. Four destinations in Puerto Rico and the Virgin Islands are not in it.",
    columns=(
        Column("faa", Kind.STRING, "FAA code"),
        Column("name", Kind.STRING, "name"),
        Column("lat_deg", Kind.FLOAT64, "latitude", "°", minimum=-90, maximum=90),
        Column("lon_deg", Kind.FLOAT64, "longitude", "°", minimum=-180, maximum=180),
        Column("alt_ft", Kind.INT32, "altitude", "ft", minimum=-1500, maximum=20000),
        Column("utc_offset_h", Kind.INT16, "standard offset from UTC", "h", minimum=-12, maximum=14),
        Column("dst", Kind.STRING, "daylight saving: A as in the US, N none, U unknown", allowed=("A", "N", "U")),
        Column("tzone", Kind.STRING, "IANA time zone; null where unknown", nullable=True),
    ),
    key=("faa",),
    layout=SMALL,
)

AIRLINES = TableSchema(
    name="airlines",
    description="Names of the airlines.",
    columns=(_KEY_COLUMNS[1], Column("name", Kind.STRING, "name of the airline")),
    key=("carrier",),
    layout=SMALL,
)


def _history(name: str, group: str, span: str) -> tuple[Column, Column]:
    landed = f"flights {group} that landed in the {span} before the scheduled departure"
    return (
        Column(f"{name}_delay_min", Kind.FLOAT64, f"mean arrival delay of the {landed}; null if none", "min", True),
        Column(f"{name}_landed", Kind.INT32, f"number of {landed}", minimum=0),
    )


FEATURE_COLUMNS = (
    _KEY_COLUMNS[1],
    _KEY_COLUMNS[3],
    _DEST,
    Column("month", Kind.INT16, "month of the scheduled departure", minimum=1, maximum=12),
    Column("day_of_week", Kind.INT16, "day of the week; 1 is Monday", minimum=1, maximum=7),
    _DEP_HOUR,
    _DEP_MINUTE,
    _DURATION,
    _DISTANCE,
    Column("origin_hour_departures", Kind.INT32, "departures scheduled at the origin in this hour", minimum=1),
    Column("aircraft_age_years", Kind.INT16, "year of flight minus year built; null if unknown", "y", True, -1, 120),
    Column("seats", Kind.INT16, "seats of the aircraft; null if unknown", nullable=True),
    Column("engine_type", Kind.STRING, "kind of engine; null if unknown", nullable=True),
    *WEATHER_MEASURES,
    *_history("carrier_24h", "of the carrier", "24 hours"),
    *_history("origin_3h", "from the origin", "3 hours"),
    *_history("route_7d", "on the route", "7 days"),
    *_history("tail_24h", "of the aircraft", "24 hours"),
)
"""The features that a model may learn from: all are known before the scheduled departure."""

MODEL_FEATURES = tuple(column.name for column in FEATURE_COLUMNS)

FEATURES = TableSchema(
    name="features",
    description="One row per scheduled flight: what is known before departure, and the label.",
    columns=(
        Column("dep_month", Kind.INT32, "month of the scheduled departure in New York", "yyyymm", minimum=190001),
        _KEY_COLUMNS[0],
        _KEY_COLUMNS[2],
        _DEP_DATE,
        _SCHED_DEP,
        *FEATURE_COLUMNS,
        _ARR_DELAY,
    ),
    key=FLIGHT_KEY,
    layout=Layout(
        z_order=("dep_month", "time_hour"),
        target_file_bytes=32 * 1024 * 1024,
        reason=(
            "Months are replaced, and read, as a whole. A month is about a megabyte, "
            "too little for a partition: ordered by month, in files that are small enough to be written again."
        ),
    ),
)

HOLDOUT_SCORES = TableSchema(
    name="holdout_scores",
    description="Flights of the hold-out that arrived: the scores of the model and the baseline, and what happened.",
    columns=(
        *_KEY_COLUMNS,
        _DEP_DATE,
        _DEP_HOUR,
        Column("late", Kind.BOOL, "whether the flight arrived late"),
        _share("score", "calibrated probability of being late"),
        _share("baseline_score", "late rate of carrier and hour"),
    ),
    key=FLIGHT_KEY,
    layout=WHOLE_YEAR,
)

PREDICTIONS = TableSchema(
    name="predictions",
    description="Every scheduled flight of a month with its probability of arriving late, per model version.",
    columns=(
        _MODEL_VERSION,
        Column("month", Kind.STRING, "month of the scheduled departure in New York", "yyyy-mm"),
        *_KEY_COLUMNS,
        _DEST,
        _SCHED_DEP,
        _share("score", "calibrated probability of arriving late"),
    ),
    key=("model_version", *FLIGHT_KEY),
    layout=Layout(
        z_order=("month", "time_hour"),
        reason=(
            "Readers take one month of one model version; a month is about a megabyte, so months are "
            "ordered within files instead of becoming hundreds of tiny partitions."
        ),
    ),
)

THRESHOLDS = TableSchema(
    name="thresholds",
    description="Precision, recall and flagged share for each threshold on the score, measured on the hold-out.",
    columns=(
        _MODEL_VERSION,
        _share("threshold", "flights with a score at or above it are flagged"),
        _share("precision", "share of the flagged flights that were late; null if none is flagged", nullable=True),
        _share("recall", "share of the late flights that are flagged; null if none was late", nullable=True),
        _share("flagged_share", "share of all flights that are flagged"),
    ),
    key=("model_version", "threshold"),
    layout=SMALL,
)


def _raw(file: str) -> TableSchema:
    """The schema of a table that holds the rows of a file: its columns and types, all of them nullable."""
    kinds = {"int64": Kind.INT64, "double": Kind.FLOAT64, "string": Kind.STRING}
    columns = [
        Column(name, kinds.get(str(kind), Kind.TIMESTAMP), f"`{name}` as in the file {file}", nullable=True)
        for name, kind in source.COLUMNS[file].items()
    ]
    reason = "Written in chunks, in the order in which they are generated: by time."
    return TableSchema(
        f"raw_{file}", f"The file {file}, many times over.", tuple(columns), layout=Layout(reason=reason)
    )


RAW = {file: _raw(file) for file in ("flights", "weather", "planes")}
"""The tables of the rows of `flightdelay.scale`, by file."""

TABLES = {
    schema.name: schema
    for schema in (
        FLIGHTS, WEATHER, PLANES, AIRPORTS, AIRLINES, FEATURES, HOLDOUT_SCORES, PREDICTIONS, THRESHOLDS,
    )
}  # fmt: skip
