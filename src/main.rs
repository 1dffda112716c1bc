//! The `factoryup` binary: parse, run, turn the error into an exit code.

fn main() {}
