//! Runs the binary in a directory of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::mail_certs::{DAY, MailCa, Wanted};
use sealpost::dev::ca::Ca;
use sealpost::directory::users::edit;
use sealpost::mail::{SecretBytes, Timestamp};
use sealpost::world::clock::Clock;

/// What a run gave.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The binary, to be run in `directory`.
pub fn sealpost(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost"));
    command
        .current_dir(directory)
        .stdin(Stdio::null())
        .env_remove("CREDENTIALS_DIRECTORY")
        .env_remove("NOTIFY_SOCKET");
    command
}

/// Runs it to its end.
pub fn run(directory: &Path, args: &[&str]) -> Ran {
    ran(sealpost(directory).args(args).output().unwrap())
}

/// The strings of an output.
pub fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Writes a file with these permission bits.
pub fn put(directory: &Path, name: &str, text: &str, mode: u32) {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Good files that a configuration may name, and some with a fault each.
pub fn furnish(directory: &Path) {
    let now = Clock::system().now();
    let key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n";
    put(directory, "master.key", key, 0o600);
    put(directory, "open.key", key, 0o644);
    put(directory, "short.key", "MDEyMzQ1Njc4OQ==\n", 0o600);
    put(directory, "empty.pem", "", 0o600);
    let password = SecretBytes::new(b"correct horse battery".to_vec());
    let sender = "*@clinic.example".parse().unwrap();
    edit::add(
        &directory.join("users.toml"),
        "billing",
        &[sender],
        &password,
    )
    .unwrap();
    put(directory, "open-users.toml", "", 0o604);
    let ca = Ca::new(now).unwrap();
    put(directory, "ca.pem", &ca.pem(), 0o644);
    let long_ago = Ca::new(Timestamp::from_secs(1_600_000_000)).unwrap();
    let far_ahead = Ca::new(Timestamp::from_secs(3_000_000_000)).unwrap();
    for (name, ca) in [
        ("server", &ca),
        ("expired", &long_ago),
        ("future", &far_ahead),
        ("other", &ca),
    ] {
        let cert = ca.server(&["mail.clinic.example"]).unwrap();
        put(
            directory,
            &format!("{name}.pem"),
            cert.certificate_pem(),
            0o644,
        );
        put(directory, &format!("{name}.key"), &cert.key_pem(), 0o600);
        if name == "server" {
            put(directory, "open-server.key", &cert.key_pem(), 0o644);
        }
    }
    mail_files(directory, now);
}

/// What `[smime]` may name.
fn mail_files(directory: &Path, now: Timestamp) {
    use rcgen::KeyUsagePurpose;
    let (long_ago, since) = (
        Timestamp::from_secs(1_500_000_000),
        Timestamp::from_secs(1_600_000_000),
    );
    let ca = MailCa::new("mail CA", now - DAY, now + 3650 * DAY);
    put(directory, "mail-ca.pem", &ca.pem(), 0o644);
    let old = MailCa::new("old mail CA", long_ago, since);
    put(directory, "old-ca.pem", &old.pem(), 0o644);
    let billing: &[&str] = &["billing@clinic.example"];
    let good = Wanted::good(billing, now);
    let expired = Wanted {
        from: long_ago,
        until: since,
        ..Wanted::good(billing, now)
    };
    let soon = Wanted {
        until: now + 7 * DAY,
        ..Wanted::good(billing, now)
    };
    let sealing = Wanted {
        usages: &[KeyUsagePurpose::KeyAgreement],
        ..Wanted::good(billing, now)
    };
    for (name, wanted) in [
        ("mail", good),
        ("mail-nobody", Wanted::good(&[], now)),
        ("mail-expired", expired),
        ("mail-soon", soon),
        ("mail-sealing", sealing),
    ] {
        let cert = ca.issue(&wanted);
        put(directory, &format!("{name}.pem"), &cert.pem, 0o644);
        put(directory, &format!("{name}.key"), &cert.key_pem, 0o600);
    }
    // What is in it does not matter: the form is refused.
    let sec1 = "-----BEGIN EC PRIVATE KEY-----\nMDAwMDAw\n-----END EC PRIVATE KEY-----\n";
    put(directory, "sec1.key", sec1, 0o600);
}
