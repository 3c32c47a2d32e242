"""Names of the functions and modules by which code depends on what stands neither in it nor in named files."""

CLOCK = frozenset(
    (
        "arrow.now", "arrow.utcnow", "datetime.date.today", "datetime.datetime.now", "datetime.datetime.today",
        "datetime.datetime.utcnow", "pandas.Timestamp.now", "pandas.Timestamp.today", "pandas.Timestamp.utcnow",
        "pendulum.now", "pendulum.today", "time.ctime", "time.gmtime", "time.localtime", "time.time", "time.time_ns",
    )
)  # fmt: skip
CLOCK_WITHOUT_ARGUMENTS = frozenset(("time.asctime", "time.ctime", "time.gmtime", "time.localtime"))
"""These take a time, and ask for it only where they are given none."""

CLOCK_WITH_ONE_ARGUMENT = frozenset(("time.strftime",))

NETWORK = frozenset(
    (
        "adlfs", "aiohttp", "asyncpg", "azure", "boto3", "botocore", "clickhouse_connect", "cx_Oracle", "elasticsearch",
        "ftplib", "gcsfs", "google", "gspread", "http.client", "httpx", "huggingface_hub", "imaplib", "kafka",
        "mysql", "openai", "oracledb", "paramiko", "poplib", "praw", "psycopg", "psycopg2", "pymongo", "pymssql",
        "pymysql", "pyodbc", "redis", "requests", "s3fs", "smtplib", "snowflake", "socket", "telnetlib", "trino",
        "tweepy", "urllib.request", "urllib3", "websocket", "websockets", "wikipedia", "yfinance",
    )
)  # fmt: skip
"""Modules that are imported to ask other machines."""

OPENS_FILES_ITSELF = frozenset(
    (
        "catboost", "cv2", "dask", "datasets", "deltalake", "duckdb", "fiona", "geopandas", "h5py", "ibis", "lance",
        "lightgbm", "netCDF4", "polars", "pyarrow", "pyogrio", "rasterio", "soundfile", "vaex", "xarray", "xgboost",
    )
)  # fmt: skip
"""Packages that open files in compiled code, which Python cannot report."""

READERS = frozenset(
    (
        "Booster", "Database", "Dataset", "DeltaTable", "File", "FileSource", "OSFile", "ParquetDataset", "ParquetFile",
        "RecordBatchFileReader", "connect", "dataset", "execute", "from_csv_auto", "imread", "load", "load_model",
        "memory_map", "open", "query", "sql",
    )
)  # fmt: skip
READER_PREFIXES = ("read_", "scan_", "open_")
"""Functions of those packages that read a file or folder whose name they are given, or SQL that names it."""

PATH_METHODS = frozenset(("glob", "iterdir", "open", "read_bytes", "read_text", "rglob"))
"""Methods by which a path reads what it names."""

PYTHON_READERS = frozenset(
    (
        "bz2.open", "glob.glob", "glob.iglob", "gzip.open", "joblib.load", "numpy.genfromtxt", "numpy.load",
        "numpy.loadtxt", "open", "os.listdir", "os.scandir", "os.walk", "sqlite3.connect", "tarfile.open",
        "zipfile.ZipFile",
    )
)  # fmt: skip
"""Functions by which Python itself reads a file or folder."""

REMOTE = (
    "http://", "https://", "ftp://", "s3://", "s3a://", "gs://", "gcs://", "abfs://", "abfss://", "adl://",
    "wasbs://", "hdfs://", "dbfs:/", "jdbc:", "postgresql://", "postgres://", "mysql://", "snowflake://",
    "mongodb://", "hf://",
)  # fmt: skip
"""Beginnings of addresses on other machines."""

MODEL_REGISTRY = ("mlflow.load", "mlflow.search", "mlflow.get", "mlflow.artifacts", "mlflow.MlflowClient")
"""Beginnings of the functions by which a notebook reads what others tracked."""
