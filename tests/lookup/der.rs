//! A writer of DER, for what no library writes: wrong answers.

pub fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    let length = content.len();
    if length < 0x80 {
        out.push(u8::try_from(length).unwrap());
    } else {
        let octets = length.to_be_bytes();
        let zeros = octets.iter().take_while(|&&octet| octet == 0).count();
        out.push(0x80 | u8::try_from(octets.len() - zeros).unwrap());
        out.extend_from_slice(&octets[zeros..]);
    }
    out.extend_from_slice(&content);
    out
}

pub fn seq(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts)
}

pub fn int(content: &[u8]) -> Vec<u8> {
    tlv(2, &[content])
}

pub fn octets(content: &[u8]) -> Vec<u8> {
    tlv(4, &[content])
}

pub fn oid(content: &[u8]) -> Vec<u8> {
    tlv(6, &[content])
}

pub fn bits(content: &[u8]) -> Vec<u8> {
    tlv(3, &[&[0], content])
}

/// GeneralizedTime.
pub fn time(at: sealpost::mail::Timestamp) -> Vec<u8> {
    let text = at.to_rfc3339();
    let digits: String = text.chars().filter(char::is_ascii_digit).take(14).collect();
    tlv(0x18, &[digits.as_bytes(), b"Z"])
}

pub fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let flag = tlv(1, &[&[0xff]]);
    let flag: &[u8] = if critical { &flag } else { &[] };
    seq(&[&oid(id), flag, &octets(value)])
}

/// The elements of an element.
pub fn children(element: &[u8]) -> Vec<&[u8]> {
    let (_, start, length) = sealpost::proto::ldap::ber::head(element).unwrap().unwrap();
    let mut rest = &element[start..start + length];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (_, start, length) = sealpost::proto::ldap::ber::head(rest).unwrap().unwrap();
        let (one, behind) = rest.split_at(start + length);
        found.push(one);
        rest = behind;
    }
    found
}

/// The content of an element.
pub fn content(element: &[u8]) -> &[u8] {
    let (_, start, length) = sealpost::proto::ldap::ber::head(element).unwrap().unwrap();
    &element[start..start + length]
}
