//! What happens to jobs when people do this and that: one script per story.

mod audits;
mod bad_requests;
mod bad_work;
mod bench;
mod canaries;
mod deadlines;
mod encoders;
mod gifts;
mod matching;
mod money;
mod sponsor;
mod vault;
mod vault_limits;
mod verdicts;
mod views;
