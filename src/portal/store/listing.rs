//! What the operator and the line ask about deposits, and their orders by name.

use crate::mail::{MessageId, Reference};
use crate::proto::link::{Ordered, PickupDetail, PickupFilter, PickupOrder, PickupPage};

use super::ending::By;
use super::record::Record;
use super::shared::{Shared, blocking};
use super::{Store, StoreError};

/// Deposits in a page.
pub const PAGE_MOST: usize = 200;
/// Deposits that are shown of one message: with all they say they fit in an answer.
pub const SHOW_MOST: usize = 16;
/// Deposits of one message that are told of in the answer to an order; all are changed.
pub const ORDER_MOST: usize = 200;
/// Deposits that are looked at for one page; where fewer match, the page says how to go on.
const LOOKS: usize = 20_000;

impl Store {
    /// Deposits that match, oldest first.
    pub async fn list(&self, filter: PickupFilter) -> Result<PickupPage, StoreError> {
        let shared = std::sync::Arc::clone(&self.shared);
        blocking(move || Ok(shared.list(&filter))).await
    }

    /// All that is known of a deposit, or of those of a message, [`SHOW_MOST`] at most.
    pub async fn show(&self, name: &str) -> Result<Vec<PickupDetail>, StoreError> {
        let references = self.shared.named(name, None)?;
        let records = self.shared.records_of(references).take(SHOW_MOST);
        let details: Vec<PickupDetail> = records
            .map(|record| record.detail(self.shared.replies.count(record.reference)))
            .collect();
        match details.is_empty() {
            true => Err(StoreError::Unknown),
            false => Ok(details),
        }
    }

    /// Overwrites the keys of the deposits that are named.
    pub async fn retract_named(&self, order: PickupOrder) -> Result<Vec<Ordered>, StoreError> {
        let references = self.shared.named(&order.name, order.recipient.as_deref())?;
        let mut done = Vec::new();
        for reference in references {
            let ordered = self.retract(reference, By::of(&order)).await?;
            if done.len() < ORDER_MOST {
                done.push(ordered);
            }
        }
        Ok(done)
    }

    /// Gives the deposits that are named another expiry: all of them, or, where one may not have it,
    /// none.
    pub async fn extend_named(&self, order: PickupOrder) -> Result<Vec<Ordered>, StoreError> {
        let until = order.until.ok_or(StoreError::Expiry)?;
        let references = self.shared.named(&order.name, order.recipient.as_deref())?;
        for &reference in &references {
            let record = self.shared.known(reference)?;
            self.shared.may_extend(&record, until, order.may_shorten)?;
        }
        let mut done = Vec::new();
        for reference in references {
            let ordered = self
                .extend(reference, until, order.may_shorten, By::of(&order))
                .await?;
            if done.len() < ORDER_MOST {
                done.push(ordered);
            }
        }
        Ok(done)
    }
}

impl By {
    fn of(order: &PickupOrder) -> Self {
        Self {
            actor: order.actor.clone(),
            reason: order.reason.clone(),
        }
    }
}

impl Shared {
    /// The deposits of a reference or a queue id, of this recipient if one is given; at least one.
    fn named(&self, name: &str, recipient: Option<&str>) -> Result<Vec<Reference>, StoreError> {
        let references = match (name.parse::<Reference>(), name.parse::<MessageId>()) {
            (Ok(reference), _) => vec![reference],
            (_, Ok(id)) => self.index().message(id, None),
            (Err(_), Err(_)) => Vec::new(),
        };
        let found: Vec<Reference> = self
            .records_of(references)
            .filter(|record| recipient.is_none_or(|it| is(&record.recipient.to_string(), it)))
            .map(|record| record.reference)
            .collect();
        match found.is_empty() {
            true => Err(StoreError::Unknown),
            false => Ok(found),
        }
    }

    fn list(&self, filter: &PickupFilter) -> PickupPage {
        let wanted = usize::try_from(filter.limit).unwrap_or(PAGE_MOST);
        let most = match wanted {
            0 => PAGE_MOST,
            wanted => wanted.min(PAGE_MOST),
        };
        let mut page = PickupPage {
            items: Vec::new(),
            next: None,
        };
        let mut place = filter.after.and_then(|after| self.index().place(after));
        let mut looks = 0;
        while looks < LOOKS {
            let some = self.index().after(place, filter.state, PAGE_MOST);
            for &next in &some {
                if page.items.len() == most {
                    page.next = place.map(|(_, reference)| reference);
                    return page;
                }
                place = Some(next);
                looks += 1;
                let record = self.record(next.1).ok().flatten();
                if let Some(record) = record.filter(|record| matches(record, filter)) {
                    page.items.push(record.item());
                }
            }
            if some.len() < PAGE_MOST {
                return page;
            }
        }
        page.next = place.map(|(_, reference)| reference);
        page
    }
}

fn is(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other.trim())
}

fn matches(record: &Record, filter: &PickupFilter) -> bool {
    let PickupFilter {
        recipient,
        author,
        domain,
        state,
        after: _,
        limit: _,
    } = filter;
    let address = |wanted: &Option<String>, found: String| {
        wanted.as_deref().is_none_or(|wanted| is(&found, wanted))
    };
    address(recipient, record.recipient.to_string())
        && address(author, record.author.to_string())
        && address(domain, record.recipient.domain().to_string())
        && state.is_none_or(|state| state == record.state)
}
