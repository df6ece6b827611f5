//! Mail that arrives.

use crate::support::world::{CONTENT, World, brief, deliver_one, expected_content};

#[tokio::test(start_paused = true)]
async fn a_message_reaches_its_exchanger_byte_by_byte() {
    let world = World::new();
    let mx = world.good_mx("mx.b.example");
    world.only_mx(&mx);
    let outcome = deliver_one(&world.relay(), "b.example").await;
    assert_eq!(brief(&outcome), "delivered: 2.0.0 queued as 1");
    let heard = mx.heard();
    assert_eq!(heard.taken.len(), 1);
    assert_eq!(heard.taken[0].content, expected_content(CONTENT));
    println!("{outcome:?}");
}
