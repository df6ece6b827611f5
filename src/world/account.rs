//! The names of the host's accounts.

/// An account's name, or `uid 1000` where the host's list of accounts has none for it. Reads a
/// small file: not for the event loop.
pub fn name(uid: u32) -> String {
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    find(&accounts, uid).map_or_else(|| format!("uid {uid}"), str::to_owned)
}

/// The first account with this number, in the format of passwd(5).
fn find(accounts: &str, uid: u32) -> Option<&str> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let number = fields.nth(1)?.parse::<u32>().ok()?;
        (number == uid).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn the_account_is_found_by_its_number() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\n\nbroken\nmail:x:8:8::/:\nlast:x:80:8::/:\n";
        assert_eq!(find(accounts, 0), Some("root"));
        assert_eq!(find(accounts, 8), Some("mail"));
        assert_eq!(find(accounts, 80), Some("last"));
        assert_eq!(find(accounts, 1000), None);
    }
}
