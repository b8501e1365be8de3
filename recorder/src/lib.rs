//! Log to lake: Arrow, Parquet, Delta, exactly once.
