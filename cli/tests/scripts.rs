//! The command line as people see it: each file in `scripts/` is a session, commands and what they
//! answer, run in a folder of its own. `[..]` stands for what differs from run to run.

#[test]
fn sessions_go_as_written() {
    trycmd::TestCases::new().case("tests/scripts/*.md").env("BLOCKDB_DB", "data");
}
