//! Files of certificates: the formats of an import, and the operator's folder.

use std::os::unix::fs::symlink;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::super::ImportOutcome::{Imported, PassedOver, Refused, Unchanged};
use super::super::*;
use super::home::*;
use super::make::*;
use crate::mail::CertificateFact::{Directory, Pinned};
use crate::mail::CertificateProblem::*;

const KIM: &str = "kim@clinic.example";
const JO: &str = "jo@clinic.example";

fn good(text: &str) -> Bytes {
    Make::new(&[text]).unsigned()
}

/// A line of LDIF, folded.
fn ldif_value(name: &str, value: &[u8]) -> String {
    let text = format!("{name}:: {}", STANDARD.encode(value));
    let lines: Vec<String> = text
        .as_bytes()
        .chunks(70)
        .map(|it| String::from_utf8_lossy(it).into_owned())
        .collect();
    lines.join("\n ")
}

async fn taken(octets: Vec<u8>) -> Vec<(String, ImportOutcome)> {
    let directory = tempfile::tempdir().unwrap();
    let home = open(directory.path(), Settings::default());
    let items = home.take_file(octets, ImportOptions::default()).await;
    items.into_iter().map(|it| (it.place, it.outcome)).collect()
}

async fn refused(octets: Vec<u8>) -> FormatError {
    let directory = tempfile::tempdir().unwrap();
    let home = open(directory.path(), Settings::default());
    let by = by();
    let imported = home.import(octets, "x", ImportOptions::default(), &by, NOW);
    match imported.await {
        Err(CertificatesError::Format(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn der_pem_bundles_and_ldif() {
    let (kim, jo) = (good(KIM), good(JO));
    let imported = |place: &str| (place.to_owned(), Imported);
    assert_eq!(taken(kim.to_vec()).await, [imported("the file")]);
    let both = taken(pem(&[&kim, &jo])).await;
    assert_eq!(both[0], imported("line 1"));
    assert_eq!(both.len(), 2);
    assert_eq!(
        taken(bundle(&[&kim, &jo])).await,
        [
            imported("the file, certificate 1"),
            imported("the file, certificate 2")
        ]
    );
    let in_pem = format!(
        "Bag attributes\n-----BEGIN PKCS7-----\n{}\n-----END PKCS7-----\n",
        STANDARD.encode(bundle(&[&kim]))
    );
    assert_eq!(
        taken(in_pem.into()).await,
        [imported("line 2, certificate 1")]
    );
    let ldif = format!(
        "version: 1\n\ndn: cn=Kim\nmail: {KIM}\n{}\n\ndn: cn=Jo\n{}\n",
        ldif_value("userCertificate;binary", &kim),
        ldif_value("userSMIMECertificate", &bundle(&[&jo])),
    );
    let found = taken(ldif.into()).await;
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|(_, it)| *it == Imported), "{found:?}");
}

#[tokio::test]
async fn an_entry_of_ldif_is_for_its_own_addresses() {
    let both = Make::new(&[KIM, JO]).unsigned();
    let value = ldif_value("userCertificate;binary", &both);
    let directory = tempfile::tempdir().unwrap();
    let home = open(directory.path(), Settings::default());
    let ldif = format!("dn: cn=Jo\nmail: JO@Clinic.example\n{value}\n");
    home.take_file(ldif.into(), ImportOptions::default()).await;
    assert_eq!(home.knows(JO), Ok((Directory, both.clone())));
    assert_eq!(home.knows(KIM), Err(None));
    let ldif = format!("dn: cn=Eve\nmail: eve@clinic.example\n{value}\n");
    let items = home.take_file(ldif.into(), ImportOptions::default()).await;
    let problem = OtherAddress;
    assert_eq!(items[0].outcome, Refused { problem });
}

#[tokio::test]
async fn a_part_that_cannot_be_read_does_not_spoil_the_rest() {
    let kim = good(KIM);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    text += "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    text += "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    text += &String::from_utf8(pem(&[&kim])).unwrap();
    text += "-----BEGIN CERTIFICATE-----\nMAAA\n";
    let found = taken(text.into()).await;
    let problem = Malformed;
    let of = |outcome| found.iter().filter(|(_, it)| *it == outcome).count();
    assert_eq!(of(Refused { problem }), 3, "{found:?}");
    assert_eq!(of(PassedOver), 1);
    assert_eq!(of(Imported), 1);
}

#[tokio::test]
async fn files_that_are_of_no_use_are_refused_as_a_whole() {
    assert_eq!(refused(b"hello".to_vec()).await, FormatError::Unknown);
    assert_eq!(refused(Vec::new()).await, FormatError::Unknown);
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_eq!(refused(key.into()).await, FormatError::PrivateKey);
    let with_key = [pem(&[&good(KIM)]), key.into()].concat();
    assert_eq!(refused(with_key).await, FormatError::PrivateKey);
    assert_eq!(
        refused(vec![b'x'; MAX_FILE_OCTETS + 1]).await,
        FormatError::TooLarge
    );
    let section = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let many = section.repeat(MAX_FILE_CERTIFICATES + 1);
    assert_eq!(refused(many.into()).await, FormatError::TooMany);
}

#[tokio::test]
async fn the_folder_is_read_and_what_is_not_used_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let root = Ca::root("Root");
    let between = Ca::under(&root, "Between", |_| {});
    let kim = between.issue(KIM, 1);
    let jo = good(JO);
    let write =
        |name: &str, octets: &[u8]| std::fs::write(folder.path().join(name), octets).unwrap();
    write("a.pem", &pem(&[&kim, &between.der]));
    write("b.p7b", &bundle(&[&jo]));
    write("c.txt", b"notes");
    write("d.pem", &pem(&[&root.der]));
    write(
        "e.der",
        &Make::new(&[KIM])
            .valid("200101000000Z", "211231235959Z")
            .unsigned(),
    );
    write(".hidden", b"rubbish");
    // What an editor left behind.
    let gone = "gone@clinic.example";
    write("gone.pem~", &pem(&[&good(gone)]));
    std::fs::create_dir(folder.path().join("f")).unwrap();
    symlink("/dev/null", folder.path().join("g")).unwrap();
    let (read, refused) = Folder::read(folder.path(), NOW).unwrap();
    let told: Vec<(String, String)> = refused
        .iter()
        .map(|it| {
            let name = it.path.file_name().unwrap().to_string_lossy().into_owned();
            (name, it.why.to_string())
        })
        .collect();
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["c.txt", "d.pem", "e.der", "f", "g", "gone.pem~"];
    assert_eq!(names, expected, "{told:?}");
    assert_eq!(told[1].1, Authority.to_string());
    assert_eq!(told[2].1, Expired.to_string());

    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        anchors: Anchors::new([root.der.clone()]).unwrap(),
        folder: read,
        ..Settings::default()
    };
    let home = open(directory.path(), settings);
    assert_eq!(home.knows(KIM), Ok((Directory, kim.clone())));
    assert_eq!(home.knows(JO), Ok((Directory, jo)));
    assert_eq!(home.knows(gone), Err(None));
    let print = Parsed::read(&kim).unwrap().fingerprint;
    let shown = home.show(&print, NOW).await.unwrap();
    assert_eq!(shown[0].chain, ["CN=Between", "CN=Root"]);
    let file = "a.pem".to_owned();
    assert_eq!(shown[0].origin, Origin::Folder { file });
    let removed = home.remove(&print, None, &by(), NOW).await;
    assert!(matches!(removed, Err(CertificatesError::InFolder)));
    // Another key that is pinned keeps what lies in the folder out.
    let pinned = Make::new(&[KIM]).key(good_rsa(2)).unsigned();
    home.take(&[&pinned], pin()).await;
    assert_eq!(home.knows(KIM), Ok((Pinned, pinned)));
    // The same certificate in both places is one, at its better place.
    home.approve(&print, None, &by(), NOW).await.unwrap();
    assert_eq!(home.knows(KIM), Ok((Pinned, kim.clone())));
    assert_eq!(
        home.take(&[&kim], ImportOptions::default()).await,
        [Unchanged]
    );
    home.reload(Settings::default());
    assert_eq!(home.knows(KIM), Ok((Pinned, kim)));
    assert_eq!(home.knows(JO), Err(None));
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let missing = std::path::Path::new("/nonexistent/certificates");
    assert!(matches!(
        Folder::read(missing, NOW),
        Err(FolderError::Io(..))
    ));
}

#[test]
fn a_certificate_of_the_folder_that_begins_later_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let early = Make::new(&[KIM])
        .valid("270101000000Z", "280101000000Z")
        .unsigned();
    std::fs::write(folder.path().join("early.der"), &early).unwrap();
    let (folder, refused) = Folder::read(folder.path(), NOW).unwrap();
    assert!(refused.is_empty());
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        folder,
        ..Settings::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let home = open(directory.path(), settings);
    assert_eq!(home.knows(KIM), Err(Some(NotYetValid)));
    let later = Timestamp::from_secs(NOW.as_secs() + 60 * 86_400);
    assert_eq!(
        outcome(home.known(&address(KIM), later)),
        Ok((Directory, early))
    );
}
