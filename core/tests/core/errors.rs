//! How refusals read.

use expect_test::expect;

use crate::common::{shown, yaml};

#[test]
fn several_errors_are_reported_in_one_run_each_with_its_caret_and_help() {
    let loaded = yaml(
        "server:\n  listn: :8080\n  header_timeout: 10\n  max_body_size: 4kb\n  io: urinng\n  cores: 3-1\n  merge_slashes: yes\nroutes:\n  /x: OK\n  /x: OK\n",
    );
    expect![[r#"
        error: unknown key `listn` in `server`
         --> anygate.yml:2:3
          |
        2 |   listn: :8080
          |   ^^^^^ unknown key
          |
          = help: did you mean `listen`?
        error: expected a duration such as `250ms`, `5s`, `1m`, `2h`, `7d` or `1y`, found `10`
         --> anygate.yml:3:19
          |
        3 |   header_timeout: 10
          |                   ^^
          |
          = help: a duration has a unit: `10s` or `10ms`
        error: expected a size such as `512KiB` or `16MiB`, or 0 for no limit, found `4kb`
         --> anygate.yml:4:18
          |
        4 |   max_body_size: 4kb
          |                  ^^^
          |
          = help: write `4KiB`: sizes know B, KB, KiB, MB, MiB, GB, GiB, TB, TiB
        error: expected one of `auto`, `uring`, `epoll`, found `urinng`
         --> anygate.yml:5:7
          |
        5 |   io: urinng
          |       ^^^^^^
          |
          = help: did you mean `uring`?
        error: the range `3-1` runs backwards
         --> anygate.yml:6:10
          |
        6 |   cores: 3-1
          |          ^^^
          |
          = help: write `1-3`
        error: expected `true` or `false`, found `yes`
         --> anygate.yml:7:18
          |
        7 |   merge_slashes: yes
          |                  ^^^
          |
          = help: write `true`, without quotes
        error: `/x` stands here twice
          --> anygate.yml:10:3
           |
         9 |   /x: OK
           |   -- first here
        10 |   /x: OK
           |   ^^ again
           |
           = help: keep one of them
    "#]]
    .assert_eq(&shown(&loaded));
}
