//! Messages: the list, the gate before each one, and what is downloaded of it. Its views are in
//! [`super::read`].
//!
//! Invariants: the name of what is read is (reference, recipient of the session's address,
//! generation of the account); what is another's and what does not exist are the same page. Each
//! view judges the proofs anew and is recorded before the content is read; the list judges them for
//! each subject. Only GET of a view by a person opens: see [`super::routes::Needs::Message`].

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::automated;
use super::forms;
use super::pages::{MailboxPage, Thread};
use super::read::read;
use super::routes::Page;
use super::sign_in::path_of;
use super::view;
use super::visitor::Visitor;
use crate::mail::{Factor, Level, Reference, Timestamp};
use crate::portal::http::{Answer, Payload, Status};
use crate::portal::proof::{Closed, Need, Verdict, judge, same_mailbox};
use crate::portal::reading::{Identifiers, Letter, conversations, message_id};
use crate::portal::store::{OpenError, Record, StoreError, Streamed};
use crate::proto::link::{Access, DepositState};

/// Messages on one page of the list.
pub const PAGE_MESSAGES: usize = 25;

pub(super) async fn show(visitor: &Visitor<'_>, page: Page) -> Answer {
    if page == Page::Box {
        return list(visitor).await;
    }
    let gate = match Gate::pass(visitor) {
        Ok(gate) => gate,
        Err(answer) => return *answer,
    };
    let note = gate.record.reference.to_string();
    let answer = match page {
        Page::File | Page::Zip | Page::Original => download(visitor, &gate, page).await,
        _ => read(visitor, &gate, page).await,
    };
    answer.note(&note)
}

/// When a message came: accepted from its sender, or left here if the clock says that this was
/// earlier. What was accepted before an account began anew is not the new one's, however late it
/// was left.
pub(super) fn came(record: &Record) -> Timestamp {
    record.deposited.min(record.accepted)
}

/// What a message asks for.
pub(super) fn need_of(record: &Record) -> Need {
    Need {
        reference: record.reference,
        factors: record.factors,
        trusted_before: record.trusted_before,
        deposited: came(record),
        secret: record.secret.is_some(),
        phone: record.phone.is_some(),
    }
}

/// A message that the session's proofs open.
pub(super) struct Gate {
    pub(super) record: Arc<Record>,
    factors: Vec<Factor>,
}

impl Gate {
    /// Whether the proofs open the message in the path. The answer otherwise.
    pub(super) fn pass(visitor: &Visitor<'_>) -> Result<Self, Box<Answer>> {
        let nothing = || Box::new(visitor.error(Status::NOT_FOUND));
        let reference = visitor.reference().ok_or_else(nothing)?;
        let session = visitor.session().ok_or_else(nothing)?;
        let record = visitor.portal.store.record(&reference).filter(|record| {
            let own = same_mailbox(&record.recipient, &session.address);
            let shown = session.proofs.holds_address() || session.proofs.has_secret(&reference);
            own && shown && record.state != DepositState::Withdrawn
        });
        let record = record.ok_or_else(nothing)?;
        let facts = visitor.facts();
        let facts = facts.map_err(|error| Box::new(visitor.failed(&error)))?;
        let means = visitor.portal.desk.means();
        let judged = judge(&need_of(&record), &session.proofs, facts.as_ref(), means);
        match record.state_at(visitor.portal.now()) {
            DepositState::Waiting | DepositState::Opened => {}
            // Only that it is no more is said, to whoever it was for.
            DepositState::Expired => {
                let page = forms::expired(visitor.shell(), record.expires);
                return Err(Box::new(visitor.page(Status::GONE, page)));
            }
            DepositState::Retracted | DepositState::Withdrawn => {
                let page = forms::retracted(visitor.shell());
                return Err(Box::new(visitor.page(Status::GONE, page)));
            }
        }
        match judged {
            Verdict::Open(factors) => Ok(Self { record, factors }),
            Verdict::Wants(steps) => Err(Box::new(wanted(visitor, reference, &steps))),
            Verdict::CannotBeOpened(why) => Err(Box::new(closed(visitor, why))),
        }
    }

    pub(super) fn access(&self, visitor: &Visitor<'_>, what: &str) -> Access {
        Access {
            time: visitor.portal.now(),
            factors: self.factors.clone(),
            client: visitor.head().client.to_string(),
            automated: Vec::new(),
            what: what.to_owned(),
        }
    }

    /// The content, once its opening is on record.
    pub(super) async fn open(
        &self,
        visitor: &Visitor<'_>,
        what: &str,
    ) -> Result<Bytes, Box<Answer>> {
        let (store, record) = (&visitor.portal.store, &self.record);
        let opened = store.open_message(&record.reference, self.access(visitor, what));
        opened.await.map_err(|error| self.closed(visitor, &error))
    }

    /// The same, to be handed on as it is and as it is taken.
    async fn stream(&self, visitor: &Visitor<'_>, what: &str) -> Result<Streamed, Box<Answer>> {
        let (store, record) = (&visitor.portal.store, &self.record);
        let opened = store.stream_message(&record.reference, self.access(visitor, what));
        opened.await.map_err(|error| self.closed(visitor, &error))
    }

    /// What is said where the content cannot be had.
    fn closed(&self, visitor: &Visitor<'_>, error: &OpenError) -> Box<Answer> {
        let record = &self.record;
        Box::new(match error {
            OpenError::Unknown => visitor.error(Status::NOT_FOUND),
            OpenError::Ended(DepositState::Expired) => {
                let page = forms::expired(visitor.shell(), record.expires);
                visitor.page(Status::GONE, page)
            }
            OpenError::Ended(_) => visitor.page(Status::GONE, forms::retracted(visitor.shell())),
            OpenError::Store(StoreError::Busy) => visitor.busy(),
            OpenError::Store(error) => {
                tracing::error!(reference = %record.reference, %error, "a message cannot be read");
                visitor.error(Status::INTERNAL_SERVER_ERROR)
            }
        })
    }
}

/// On to the first step; with the message that it is for.
fn wanted(
    visitor: &Visitor<'_>,
    reference: Reference,
    steps: &[crate::portal::proof::Step],
) -> Answer {
    use crate::portal::proof::Step;
    // A code is asked for by a form: what is only read mails nothing.
    let path = match steps.first() {
        Some(Step::MailboxCode) | None => "/sign-in",
        Some(step) => path_of(*step),
    };
    let segments: Vec<&str> = path.split('/').collect();
    let path = visitor.path(&segments);
    Answer::see_other(&path.with("for", &reference.to_string()))
}

fn closed(visitor: &Visitor<'_>, why: Closed) -> Answer {
    let facts = visitor.facts().ok().flatten().unwrap_or_default();
    let reason = match why {
        Closed::OlderThanAccount => "cannot.generation",
        // Something is registered, but later than it would have to be.
        Closed::NothingRegistered if !facts.is_empty() => "cannot.too_late",
        Closed::NothingRegistered => "cannot.no_factor",
    };
    let page = forms::cannot(visitor.shell(), &[reason], Vec::new());
    visitor.page(Status::FORBIDDEN, page)
}

async fn list(visitor: &Visitor<'_>) -> Answer {
    let Some(session) = visitor.member() else {
        return visitor.on(&[]);
    };
    let facts = match visitor.facts() {
        Ok(facts) => facts.unwrap_or_default(),
        Err(error) => return visitor.failed(&error),
    };
    let store = &visitor.portal.store;
    // What came before the account began anew is not its own: not even who wrote it is told.
    let own = |record: &Arc<Record>| facts.sees_from.is_none_or(|from| came(record) >= from);
    let mut records = store.mailbox(&session.address);
    records.retain(own);
    let pages = records.len().div_ceil(PAGE_MESSAGES).max(1);
    let page = visitor.head().query.get("page");
    let page = page.and_then(|it| it.parse().ok()).unwrap_or(1usize);
    let page = page.clamp(1, pages);
    let records: Vec<Arc<Record>> = records
        .into_iter()
        .skip((page - 1) * PAGE_MESSAGES)
        .take(PAGE_MESSAGES)
        .collect();
    // A subject is part of the message: it takes what the message takes, each time anew.
    let means = visitor.portal.desk.means();
    let opens = |record: &&Arc<Record>| {
        let judged = judge(&need_of(record), &session.proofs, Some(&facts), means);
        matches!(judged, Verdict::Open(_))
    };
    let names: Vec<Reference> = records
        .iter()
        .filter(opens)
        .map(|record| record.reference)
        .collect();
    let subjects = store.subjects(&names).await;
    let mut subjects: HashMap<Reference, String> = names
        .into_iter()
        .zip(subjects)
        .filter_map(|(name, subject)| subject.map(|subject| (name, subject)))
        .collect();
    let (shell, now) = (visitor.shell(), visitor.portal.now());
    let items: Vec<_> = records
        .iter()
        .map(|record| {
            let subject = subjects.remove(&record.reference);
            view::item(&shell.say, record, subject, now)
        })
        .collect();
    let threads = visitor.portal.conversations(&records);
    let threads = threads.into_iter().map(|members| {
        let items: Vec<_> = members
            .into_iter()
            .filter_map(|at| items.get(at).cloned())
            .collect();
        let first = items.last().map(|item| item.subject.clone());
        Thread {
            subject: first.unwrap_or_default(),
            items,
        }
    });
    let to = |page: usize| format!("/box?page={page}");
    let page = MailboxPage {
        threads: threads.collect(),
        newer: (page > 1).then(|| to(page - 1)),
        older: (page < pages).then(|| to(page + 1)),
        s: shell,
    };
    visitor.page(Status::OK, page)
}

impl super::portal::Portal {
    /// Which of the records belong together: those that were opened, by their own identifiers.
    fn conversations(&self, records: &[Arc<Record>]) -> Vec<Vec<usize>> {
        let threads = self.memory.threads.lock();
        let threads = threads.unwrap_or_else(std::sync::PoisonError::into_inner);
        let identifiers: Vec<Identifiers> = records
            .iter()
            .map(|record| match threads.get(&record.reference) {
                Some(known) if record.is_live() => known.clone(),
                _ => Identifiers {
                    message_id: message_id(&record.message_id).filter(|_| record.was_opened()),
                    ..Identifiers::default()
                },
            })
            .collect();
        drop(threads);
        let mut groups = conversations(&identifiers);
        for group in &mut groups {
            group.sort_unstable();
        }
        groups.sort_unstable_by_key(|group| group.first().copied());
        groups
    }

    /// Remembers how an opened message is tied to others.
    pub(super) fn tie(&self, reference: Reference, identifiers: &Identifiers) {
        let threads = self.memory.threads.lock();
        let mut threads = threads.unwrap_or_else(std::sync::PoisonError::into_inner);
        threads.put(reference, identifiers.clone());
    }
}

/// Whether the message may leave the portal as it is.
pub(super) fn may_leave(record: &Record) -> bool {
    record.level <= Level::Confidential
}

async fn download(visitor: &Visitor<'_>, gate: &Gate, page: Page) -> Answer {
    if !automated::not_opened(visitor.head()).is_empty()
        || visitor.head().fetch.site == "cross-site"
    {
        return visitor.on(&["m", &gate.record.reference.to_string()]);
    }
    if page == Page::Original && !may_leave(&gate.record) {
        return visitor.error(Status::NOT_FOUND);
    }
    let number: Option<usize> = visitor.head().path.get(3).and_then(|it| it.parse().ok());
    if page == Page::File && number.is_none() {
        return visitor.error(Status::NOT_FOUND);
    }
    let what = match page {
        Page::File => "attachment",
        _ => "download",
    };
    if page == Page::Original {
        let name = format!("{}.eml", gate.record.reference);
        return match gate.stream(visitor, what).await {
            Ok(Streamed { octets, from }) => {
                let octets = Some(octets);
                let payload = Payload::Stream { octets, from };
                Answer::download(&name, "message/rfc822", payload)
            }
            Err(answer) => *answer,
        };
    }
    // Room first: what cannot be sent is not opened. Nothing that is made of a message is larger
    // than the message, but for an archive's few octets a file.
    let (sending, client) = (&visitor.portal.memory.sending, visitor.head().client);
    let Some(room) = sending.reserve(client, gate.record.octets) else {
        return visitor.busy();
    };
    let content = match gate.open(visitor, what).await {
        Ok(content) => content,
        Err(answer) => return *answer,
    };
    let unnamed = visitor.say();
    let taken = tokio::task::spawn_blocking(move || {
        let letter = Letter::read(&content).ok()?;
        // What is returned has nothing of the memory for reading.
        match number {
            Some(number) => {
                let file = letter.attachments().get(number)?;
                let name = view::file_name(&unnamed, file);
                let octets = apart(&content, letter.attachment(number)?);
                Some((name, file.media_type, octets))
            }
            None => {
                let zip = letter.zip().ok()?;
                Some((
                    "attachments.zip".to_owned(),
                    "application/zip",
                    Bytes::from(zip),
                ))
            }
        }
    });
    match taken.await.ok().flatten() {
        Some((name, kind, octets)) => {
            Answer::download(&name, kind, Payload::Whole(room.hold(octets)))
        }
        None => visitor.error(Status::NOT_FOUND),
    }
}

/// Octets that are no part of the content: it is given back when it was looked at, not when the
/// client has taken them.
fn apart(content: &Bytes, octets: Bytes) -> Bytes {
    match content.as_ptr_range().contains(&octets.as_ptr()) {
        true => Bytes::copy_from_slice(&octets),
        false => octets,
    }
}
