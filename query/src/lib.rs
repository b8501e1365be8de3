//! Audit answers: DataFusion over the lake and the live tail.
