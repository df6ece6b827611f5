//! The people of a message, as they may be shown.

use mail_parser::Address;

use super::MAX_PEOPLE;
use super::name::line;

/// Most characters of a person's name.
const MAX_PERSON_CHARS: usize = 100;
/// Most characters of an address (RFC 5321 §4.5.3.1.3).
const MAX_ADDRESS_CHARS: usize = 254;

/// Somebody in a From, To or Cc field. Both texts are the message's own word: who really wrote it
/// is what the line said when it left the message here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name beside the address.
    pub name: Option<String>,
    /// The address, not necessarily a valid one.
    pub address: String,
}

/// The people of a field, [`MAX_PEOPLE`] at most.
pub(super) fn people(field: Option<&Address<'_>>) -> Vec<Person> {
    let all = field.into_iter().flat_map(Address::iter);
    all.filter_map(|one| {
        let name = one.name.as_deref().map(|it| line(it, MAX_PERSON_CHARS));
        let name = name.filter(|it| !it.is_empty());
        let address = one.address.as_deref().unwrap_or_default();
        let address = line(address, MAX_ADDRESS_CHARS);
        (name.is_some() || !address.is_empty()).then_some(Person { name, address })
    })
    .take(MAX_PEOPLE)
    .collect()
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;

    use super::*;

    fn of(field: &str) -> Vec<Person> {
        let block = format!("To: {field}\r\n\r\n");
        let message = MessageParser::default().parse_headers(block.as_bytes());
        people(message.unwrap().to())
    }

    #[test]
    fn are_cleaned_and_bounded() {
        let jo = Person {
            name: Some("Jo Doe".to_owned()),
            address: "jo@clinic.example".to_owned(),
        };
        assert_eq!(of("=?utf-8?q?Jo=E2=80=AE_Doe?= <jo@clinic.example>"), [jo]);
        assert_eq!(of("team: a@x.example, b@x.example;, c@x.example").len(), 3);
        assert_eq!(of(&"a@x.example, ".repeat(900)).len(), MAX_PEOPLE);
        assert!(of(",,,").is_empty());
    }
}
