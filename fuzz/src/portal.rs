//! What must hold for any octets as a message that is read in the portal: it is read or refused, and
//! what is shown of it is bounded, has safe names, and holds nothing that runs.

use bytes::Bytes;
use sealpost::portal::reading::{Letter, MAX_TEXT_OCTETS, file_name};

/// Never in cleaned HTML, where `<` begins a tag and nothing else.
const NEVER: [&str; 9] = [
    "<script", "<style", "<svg", "<math", "<iframe", "<object", "<form", "<link", "<!",
];

/// Reads the octets as a message and looks at everything that a page would show.
pub fn letter(octets: &[u8]) {
    let content = Bytes::copy_from_slice(octets);
    let Ok(letter) = Letter::read(&content) else {
        return; // refused
    };
    let text = letter.text().text;
    assert!(text.len() <= MAX_TEXT_OCTETS);
    assert!(
        !text.contains(['\0', '\r', '\u{202e}']),
        "a control in the text"
    );
    if let Some(html) = letter.html(&|index| format!("/image/{index}")) {
        for tag in NEVER {
            assert!(!html.body().contains(tag), "{tag}");
        }
    }
    for attachment in letter.attachments() {
        let octets = letter.attachment(attachment.index).unwrap();
        assert_eq!(octets.len() as u64, attachment.octets);
        assert_eq!(file_name(&attachment.name), attachment.name);
        let image = letter.inline_image(attachment.index);
        assert_eq!(image.is_some(), attachment.inline.is_some());
    }
    letter.zip().unwrap();
    assert_eq!(letter.original(), &content);
}
