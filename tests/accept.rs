//! A process that has run out of descriptors goes on when some come free. Alone in its binary:
//! the limit is the whole process's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod support;

use std::fs::File;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use support::door::{Door, config};
use support::line::{Line, short_retry};
use support::world::World;

#[tokio::test]
async fn connections_wait_while_there_is_no_descriptor_for_them() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let line = Line::start(&world, directory.path(), short_retry());
    let door = Door::open(&world, &line, directory.path(), config()).await;
    let before = getrlimit(Resource::Nofile);
    let highest = File::open("/dev/null").unwrap();
    let few = u64::try_from(std::os::fd::AsRawFd::as_raw_fd(&highest)).unwrap() + 10;
    let limit = Rlimit {
        current: Some(few),
        ..before
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut hoard: Vec<File> = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    // One for the client's end, none for the server's.
    drop(hoard.pop());
    let mut client = UnixStream::connect(&door.unix).await.unwrap();
    let mut greeting = [0_u8; 4];
    let early = tokio::time::timeout(Duration::from_millis(500), client.read(&mut greeting)).await;
    assert!(early.is_err(), "accepted without a descriptor");
    hoard.clear();
    client.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"220 ");
    setrlimit(Resource::Nofile, before).unwrap();
}
