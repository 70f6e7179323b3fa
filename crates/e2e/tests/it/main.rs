//! The real programs, as processes, the way users run them. Nothing here links against them.

mod choosing;
mod codebases;
mod database;
mod disk;
mod fleet;
mod in_repository;
mod kills;
mod lifecycle;
mod log_files;
mod main_job;
mod minimal_worker;
mod network;
mod operate;
mod pipelines;
mod proxy;
mod refusals;
mod rng;
mod starlark;
mod stock_master;
mod stock_workers;
mod tls;
mod tries;
mod trigger;
mod try_command;
mod witness;
mod worker_loss;
