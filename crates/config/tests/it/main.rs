//! Configurations as people write them, good and bad, and what is said of them.

mod catalogue;
mod choosing;
mod diff;
mod format;
mod hostile;
mod jobs_file;
mod json_schema;
mod load;
mod meaning;
mod mutations;
mod repository_file;
mod samples;
mod schema;
mod spellings;
mod starlark;
