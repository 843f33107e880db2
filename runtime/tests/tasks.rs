//! Every task, as this build of the program runs it.

mod real_runs;
