//! The recorder against real tables, real processes and a real S3 server.

mod bench;
mod crash;
mod file_lake;
mod integrity;
mod refusals;
mod rows;
mod s3;
mod scripted_log;
