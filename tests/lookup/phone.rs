//! Codes to telephone numbers: what the hook is told, and what is told of its failures.

use sealpost::mail::{PhoneNumber, SecretBytes};
use sealpost::portal::proof::phone::{MAX_TEXT_OCTETS, PhoneFailure, Phones};
use sealpost::world::url::Url;

use crate::fetch::fetcher;
use crate::http::{Web, ok, with_status};
use crate::support::world::World;

const TOKEN: &str = "canary-of-the-token";

fn world() -> (World, Web) {
    let (world, web) = (World::new(), Web::default());
    let tls = world.ca.issue("sms.example").server();
    web.at(&world, "sms.example", "192.0.2.7:443", Some(tls));
    (world, web)
}

fn phones(world: &World, url: &str) -> Phones {
    let token = SecretBytes::new(TOKEN.as_bytes().to_vec());
    Phones::new(fetcher(world, false), Url::parse(url).unwrap(), Some(token))
}

fn number() -> PhoneNumber {
    "+1 202 555 0123".parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_hook_is_told_number_and_text() {
    let (world, web) = world();
    web.reply("POST /send", ok(b"{}"));
    let hook = phones(&world, "https://sms.example/send");
    hook.send(&number(), "12345678 is the code").await.unwrap();
    let heard = web.heard();
    let body: serde_json::Value = serde_json::from_slice(&heard[0].body).unwrap();
    let expected = serde_json::json!({"number": "+12025550123", "text": "12345678 is the code"});
    assert_eq!(body, expected);
    let head = &heard[0].head;
    assert!(
        head.to_ascii_lowercase()
            .contains("content-type: application/json\r\n")
    );
    assert!(head.contains(&format!("Bearer {TOKEN}\r\n")), "{head}");
    assert!(!format!("{hook:?}").contains(TOKEN));
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_without_details() {
    let (world, web) = world();
    let hook = phones(&world, "https://sms.example/send");
    for (status, expected) in [
        ("202 Accepted", Ok(())),
        ("204 No Content", Ok(())),
        ("400 Bad Request", Err(PhoneFailure::Refused)),
        ("401 Unauthorized", Err(PhoneFailure::Refused)),
        ("302 Found", Err(PhoneFailure::Refused)),
        ("500 Broken", Err(PhoneFailure::Refused)),
    ] {
        web.reply("POST /send", with_status(status, "", b"canary"));
        assert_eq!(hook.send(&number(), "12345678").await, expected, "{status}");
    }
    let long = "x".repeat(MAX_TEXT_OCTETS + 1);
    assert_eq!(hook.send(&number(), &long).await, Err(PhoneFailure::Text));
    let nobody = phones(&world, "https://nobody.example/");
    assert_eq!(
        nobody.send(&number(), "12345678").await,
        Err(PhoneFailure::Unreachable)
    );
    // Never in clear.
    let clear = phones(&world, "http://sms.example/send");
    assert_eq!(
        clear.send(&number(), "12345678").await,
        Err(PhoneFailure::Unreachable)
    );
}
