//! Accounts: who may change them, what a recovery costs, what is forgotten.

use super::*;
use crate::portal::proof::proofs::Proof;
use crate::portal::proof::tests_support::{Home, NOW, home};
use crate::portal::proof::totp::code_for_test;
use crate::portal::proof::webauthn::tests::{Device, says};
use crate::portal::proof::webauthn::{self, Credential, RelyingParty};

const DAY: Duration = Duration::from_secs(86_400);

fn accounts(home: &Home) -> Accounts {
    Accounts::open(&home.tables, Arc::new(Passwords::cheap())).unwrap()
}

fn jo() -> Address {
    "jo@b.example".parse().unwrap()
}

fn secret(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec())
}

fn proofs(all: &[Proof]) -> Proofs {
    let mut proofs = Proofs::default();
    for proof in all {
        proofs.add(*proof);
    }
    proofs
}

fn mailbox() -> Proofs {
    proofs(&[Proof::Mailbox])
}

const FIRST: &str = "blue heron at noon";
const SECOND: &str = "grey heron at dusk";

async fn registered(accounts: &Accounts) -> Proofs {
    let set = accounts
        .set_password(&jo(), &mailbox(), &secret(FIRST), NOW)
        .await;
    proofs(&[Proof::Mailbox, Proof::Account(set.unwrap())])
}

/// Two requests under way: what the later one had shown is worth nothing once the first is done.
#[tokio::test]
async fn what_was_shown_before_a_change_changes_nothing_after_it() {
    let home = home();
    let accounts = accounts(&home);
    let mut own = registered(&accounts).await;
    own.seen = Some(accounts.ends.now());
    let other = own.clone();
    let (jo, later) = (jo(), NOW + DAY);
    let second = secret(SECOND);
    let set = accounts.set_password(&jo, &own, &second, later);
    set.await.unwrap();
    let ended = |changed: Result<(), AccountError>| {
        assert!(matches!(
            changed,
            Err(AccountError::Proof(ProofError::Ended))
        ));
    };
    let third = secret("white heron at dawn");
    let set = accounts.set_password(&jo, &other, &third, later).await;
    ended(set.map(|_| ()));
    let made = accounts.new_recovery_codes(&jo, &other, later, || {}).await;
    ended(made.map(|_| ()));
    ended(accounts.begin_anew(&jo, &other, later).await);
    ended(accounts.remove(&jo, &other, later).await);
    let checked = accounts.check_password(&jo, &second, later);
    assert!(checked.await.unwrap().is_some());
    // What is shown after it counts.
    own.seen = Some(accounts.ends.now());
    accounts.remove(&jo, &own, later).await.unwrap();
}

#[tokio::test]
async fn a_password_from_the_first_visit_to_the_next() {
    let mut home = home();
    registered(&accounts(&home)).await;
    home.restart();
    let accounts = accounts(&home);
    let later = NOW + DAY;
    let right = accounts
        .check_password(&jo(), &secret(FIRST), later)
        .await
        .unwrap();
    assert_eq!(right.unwrap().password, Some(NOW));
    for (address, text) in [("jo@b.example", SECOND), ("kim@b.example", FIRST)] {
        let address = address.parse().unwrap();
        let checked = accounts
            .check_password(&address, &secret(text), later)
            .await
            .unwrap();
        assert_eq!(checked, None, "{address}");
    }
    // Neither case nor idle quotes make another account.
    for address in ["jo@B.Example", "JO@b.example", "\"jo\"@b.example"] {
        let address = address.parse().unwrap();
        let first = secret(FIRST);
        let checked = accounts.check_password(&address, &first, later).await;
        assert!(checked.unwrap().is_some(), "{address}");
        let standing = accounts.standing(&address, later).unwrap();
        assert_eq!(standing.registered, Some(NOW));
        assert_eq!(accounts.spelling(&address, later).unwrap(), Some(jo()));
        let handle = |of: &Address| accounts.for_new_passkey(of, later).unwrap().0;
        assert_eq!(handle(&address), handle(&jo()));
        let (with, second) = (mailbox(), secret(SECOND));
        let refused = accounts.set_password(&address, &with, &second, later).await;
        assert!(matches!(refused, Err(AccountError::NotAllowed)));
    }
    let standing = accounts.standing(&jo(), later).unwrap();
    assert_eq!(standing.registered, Some(NOW));
}

/// D39: the mailbox registers where there is nothing yet, and changes nothing where there is.
#[tokio::test]
async fn the_mailbox_changes_no_account() {
    let home = home();
    let accounts = accounts(&home);
    let nothing = Proofs::default();
    let refused = accounts
        .set_password(&jo(), &nothing, &secret(FIRST), NOW)
        .await;
    assert!(matches!(refused, Err(AccountError::NotAllowed)));
    let weak = accounts
        .set_password(&jo(), &mailbox(), &secret("password1234"), NOW)
        .await;
    assert!(matches!(
        weak,
        Err(AccountError::Weak(WeakPassword::Common))
    ));
    let own = registered(&accounts).await;
    let later = NOW + DAY;
    let totp = TotpSecret::generate().unwrap();
    let code = code_for_test(&totp, later);
    let made = Credential {
        id: vec![1],
        key: webauthn::PublicKey::EdDsa([1; 32]),
        counter: 0,
    };
    let stale = AccountProof {
        generation: 7,
        password: Some(NOW),
        ..AccountProof::default()
    };
    for with in [mailbox(), proofs(&[Proof::Mailbox, Proof::Account(stale)])] {
        let refused = [
            accounts
                .set_password(&jo(), &with, &secret(SECOND), later)
                .await
                .map(drop),
            accounts
                .confirm_totp(&jo(), &with, &totp, &code, later)
                .await
                .map(drop),
            accounts
                .add_passkey(&jo(), &with, made.clone(), "x", later)
                .await
                .map(drop),
            accounts
                .new_recovery_codes(&jo(), &with, later, || {})
                .await
                .map(drop),
            accounts.remove_totp(&jo(), &with, later).await.map(drop),
            accounts
                .remove_passkey(&jo(), &with, &[1], later)
                .await
                .map(drop),
            accounts.remove(&jo(), &with, later).await,
            accounts
                .set_language(&jo(), &with, Language::Fr, later)
                .await,
        ];
        assert!(
            refused
                .iter()
                .all(|it| matches!(it, Err(AccountError::NotAllowed)))
        );
    }
    // With the old password the new one keeps its age.
    let changed = accounts
        .set_password(&jo(), &own, &secret(SECOND), later)
        .await
        .unwrap();
    assert_eq!(changed.password, Some(NOW));
    assert!(
        accounts
            .check_password(&jo(), &secret(FIRST), later)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn an_app_is_confirmed_first_and_a_code_is_good_once() {
    let home = home();
    let accounts = accounts(&home);
    let own = registered(&accounts).await;
    let totp = TotpSecret::generate().unwrap();
    let wrong = accounts.confirm_totp(&jo(), &own, &totp, "", NOW).await;
    assert!(matches!(wrong, Err(AccountError::WrongCode)));
    assert_eq!(accounts.facts(&jo(), NOW).unwrap().totp, None);
    let code = code_for_test(&totp, NOW);
    accounts
        .confirm_totp(&jo(), &own, &totp, &code, NOW)
        .await
        .unwrap();
    // The code that confirmed it is used up.
    assert_eq!(accounts.check_totp(&jo(), &code, NOW).await.unwrap(), None);
    let later = NOW + Duration::from_secs(60);
    let code = code_for_test(&totp, later);
    let proof = accounts
        .check_totp(&jo(), &code, later)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(proof.totp, Some(NOW));
    assert_eq!(
        accounts.check_totp(&jo(), &code, later).await.unwrap(),
        None
    );
    assert_eq!(
        accounts
            .check_totp(&"kim@b.example".parse().unwrap(), &code, later)
            .await
            .unwrap(),
        None
    );
    accounts.remove_totp(&jo(), &own, later).await.unwrap();
    assert_eq!(accounts.facts(&jo(), later).unwrap().totp, None);
}

#[tokio::test]
async fn passkeys_know_whose_they_are() {
    let mut home = home();
    let party = RelyingParty {
        id: "portal.example".into(),
        origin: "https://portal.example".into(),
        name: "Portal".into(),
    };
    let (challenge, device) = ([7; 32], Device::p256());
    let made = party
        .made(&challenge, &device.make(b"one", &says("webauthn.create")))
        .unwrap();
    let handle = {
        let accounts = accounts(&home);
        let own = registered(&accounts).await;
        accounts
            .add_passkey(&jo(), &own, made.clone(), " My\u{7} phone ", NOW)
            .await
            .unwrap();
        // Nobody takes over another one's credential.
        let kim = "kim@b.example".parse().unwrap();
        let taken = accounts
            .add_passkey(&kim, &mailbox(), made.clone(), "x", NOW)
            .await;
        assert!(matches!(taken, Err(AccountError::NotAllowed)));
        for number in 0..MAX_PASSKEYS {
            let made = Credential {
                id: vec![u8::try_from(number).unwrap()],
                ..made.clone()
            };
            let added = accounts.add_passkey(&jo(), &own, made, "x", NOW).await;
            assert_eq!(added.is_ok(), number < MAX_PASSKEYS - 1);
        }
        accounts
            .remove_passkey(&jo(), &own, &[0], NOW)
            .await
            .unwrap();
        let view = accounts.view(&jo(), NOW).unwrap();
        assert_eq!(view.passkeys.len(), MAX_PASSKEYS - 1);
        assert_eq!(view.passkeys[0].name, "My phone");
        accounts.for_new_passkey(&jo(), NOW).unwrap().0
    };
    home.restart();
    let accounts = accounts(&home);
    let get = says("webauthn.get");
    let used = device.sign(b"one", &handle, &get);
    let found = accounts
        .check_passkey(&party, &challenge, &used, NOW)
        .await
        .unwrap();
    let (address, proof) = found.unwrap();
    assert_eq!((address, proof.passkey), (jo(), Some(NOW)));
    let another = accounts
        .check_passkey(&party, &[8; 32], &used, NOW)
        .await
        .unwrap();
    assert!(another.is_none());
    let unknown = device.sign(b"two", &handle, &get);
    assert!(
        accounts
            .check_passkey(&party, &challenge, &unknown, NOW)
            .await
            .unwrap()
            .is_none()
    );
    // Its counter is kept.
    for (counter, good) in [(3, true), (3, false), (2, false), (4, true)] {
        let mut get = says("webauthn.get");
        get.counter = counter;
        let used = device.sign(b"one", &handle, &get);
        let found = accounts
            .check_passkey(&party, &challenge, &used, NOW)
            .await
            .unwrap();
        assert_eq!(found.is_some(), good, "{counter}");
    }
}

#[tokio::test]
async fn recovery_codes_are_good_once_and_keep_the_generation() {
    let home = home();
    let accounts = accounts(&home);
    let own = registered(&accounts).await;
    let codes = accounts
        .new_recovery_codes(&jo(), &own, NOW, || {})
        .await
        .unwrap();
    let codes: Vec<String> = codes.expose().map(str::to_owned).collect();
    let later = NOW + DAY;
    let proof = accounts
        .check_recovery(&jo(), &codes[3], later)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(proof.recovery, Some(NOW));
    for code in [codes[3].as_str(), "", "0000-0000-0000-0000"] {
        assert_eq!(
            accounts.check_recovery(&jo(), code, later).await.unwrap(),
            None
        );
    }
    assert_eq!(
        accounts.view(&jo(), later).unwrap().recovery_left,
        RECOVERY_CODES - 1
    );
    // With the mailbox it changes a forgotten password, which counts from now.
    let with = proofs(&[Proof::Mailbox, Proof::Account(proof)]);
    let set = accounts
        .set_password(&jo(), &with, &secret(SECOND), later)
        .await
        .unwrap();
    assert_eq!((set.password, set.generation), (Some(later), 0));
    assert_eq!(accounts.facts(&jo(), later).unwrap().sees_from, None);
    // Alone it does not.
    let alone = proofs(&[Proof::Account(proof)]);
    let refused = accounts
        .set_password(&jo(), &alone, &secret(FIRST), later)
        .await;
    assert!(matches!(refused, Err(AccountError::NotAllowed)));
}

/// D38, D39: what comes after a recovery by the mailbox sees nothing of before.
#[tokio::test]
async fn a_recovery_by_the_mailbox_begins_anew() {
    let mut home = home();
    let later = NOW + DAY;
    {
        let accounts = accounts(&home);
        let own = registered(&accounts).await;
        accounts
            .new_recovery_codes(&jo(), &own, NOW, || {})
            .await
            .unwrap();
        let refused = accounts.begin_anew(&jo(), &Proofs::default(), later).await;
        assert!(matches!(refused, Err(AccountError::NotAllowed)));
        accounts.begin_anew(&jo(), &mailbox(), later).await.unwrap();
        // Again it changes nothing.
        accounts
            .begin_anew(&jo(), &mailbox(), later + DAY)
            .await
            .unwrap();
    }
    home.restart();
    let accounts = accounts(&home);
    let facts = accounts.facts(&jo(), later).unwrap();
    assert_eq!((facts.generation, facts.sees_from), (1, Some(later)));
    assert!(facts.is_empty());
    assert!(
        accounts
            .check_password(&jo(), &secret(FIRST), later)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(accounts.standing(&jo(), later).unwrap().registered, None);
    let set = accounts
        .set_password(&jo(), &mailbox(), &secret(SECOND), later)
        .await
        .unwrap();
    assert_eq!((set.generation, set.password), (1, Some(later)));
}

/// D38: delete, re-create.
#[tokio::test]
async fn a_removed_account_does_not_come_back_with_its_mail() {
    let home = home();
    let accounts = accounts(&home);
    let own = registered(&accounts).await;
    let later = NOW + DAY;
    accounts.remove(&jo(), &own, later).await.unwrap();
    let set = accounts
        .set_password(&jo(), &mailbox(), &secret(SECOND), later + DAY)
        .await
        .unwrap();
    let facts = accounts.facts(&jo(), later + DAY).unwrap();
    assert_eq!((set.generation, facts.sees_from), (1, Some(later)));
}

/// The last factor that stands beside the mailbox is removed: nothing of before is left for whoever
/// comes by the mailbox alone, whether there are recovery codes or not.
#[tokio::test]
async fn with_the_last_factor_goes_the_account() {
    let home = home();
    let accounts = accounts(&home);
    let (totp, later) = (TotpSecret::generate().unwrap(), NOW + DAY);
    let code = code_for_test(&totp, NOW);
    let with = mailbox();
    let confirmed = accounts.confirm_totp(&jo(), &with, &totp, &code, NOW).await;
    let own = proofs(&[Proof::Mailbox, Proof::Account(confirmed.unwrap())]);
    let made = Credential {
        id: vec![1],
        key: webauthn::PublicKey::EdDsa([1; 32]),
        counter: 0,
    };
    let added = accounts.add_passkey(&jo(), &own, made, "x", NOW).await;
    assert_eq!(added.unwrap().passkey, Some(NOW));
    let made = accounts.new_recovery_codes(&jo(), &own, NOW, || {}).await;
    assert_eq!(made.unwrap().expose().count(), RECOVERY_CODES);
    let removed = accounts.remove_totp(&jo(), &own, later).await;
    assert_eq!(removed.unwrap(), Removed::Factor);
    assert_eq!(accounts.facts(&jo(), later).unwrap().generation, 0);
    let removed = accounts.remove_passkey(&jo(), &own, &[1], later).await;
    assert_eq!(removed.unwrap(), Removed::Account);
    let facts = accounts.facts(&jo(), later).unwrap();
    assert_eq!((facts.generation, facts.sees_from), (1, Some(later)));
    assert!(facts.is_empty());
}

#[tokio::test]
async fn an_idle_account_ends_by_itself() {
    let home = home();
    let accounts = accounts(&home);
    registered(&accounts).await;
    let used = NOW + DAY * 300;
    assert!(
        accounts
            .check_password(&jo(), &secret(FIRST), used)
            .await
            .unwrap()
            .is_some()
    );
    let end = used + IDLE_END;
    let moment = Duration::from_secs(1);
    assert_eq!(accounts.facts(&jo(), end - moment).unwrap().generation, 0);
    let facts = accounts.facts(&jo(), end + DAY).unwrap();
    assert_eq!(
        (facts.generation, facts.sees_from, facts.is_empty()),
        (1, Some(end), true)
    );
    assert!(
        accounts
            .check_password(&jo(), &secret(FIRST), end)
            .await
            .unwrap()
            .is_none()
    );
    let set = accounts
        .set_password(&jo(), &mailbox(), &secret(SECOND), end + DAY)
        .await
        .unwrap();
    assert_eq!((set.generation, set.password), (1, Some(end + DAY)));
}

/// Changes that come together come one after the other: none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_come_together() {
    let home = home();
    let accounts = Arc::new(accounts(&home));
    let own = registered(&accounts).await;
    let codes = accounts
        .new_recovery_codes(&jo(), &own, NOW, || {})
        .await
        .unwrap();
    let one = codes.expose().next().unwrap().to_owned();
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (accounts, one) = (Arc::clone(&accounts), one.clone());
            tokio::spawn(async move { accounts.check_recovery(&jo(), &one, NOW).await })
        })
        .collect();
    let mut right = 0;
    for task in tasks {
        right += usize::from(task.await.unwrap().unwrap().is_some());
    }
    assert_eq!(right, 1);
}
