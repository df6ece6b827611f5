//! Picking up what was left in the portal, as its recipient would: the link, a code, the message.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::report::GREETING;
use crate::dev::browser::{BrowseError, Browser, Form, Page};
use crate::dev::home::Home;
use crate::server::Daemon;

/// Digits of a code.
const CODE_DIGITS: usize = 8;
/// How often the mailbox is looked at, and the code typed again while its mail is on the way.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How many times.
const LOOKS: usize = 150;
/// Most pages between the link and the message.
const MAX_PAGES: usize = 8;

/// Why the message was not read.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// The portal.
    #[error(transparent)]
    Browse(#[from] BrowseError),
    /// It does not run here.
    #[error("the portal does not run")]
    NoPortal,
    /// No mail with a code.
    #[error("no code came into the mailbox")]
    NoCode,
    /// A page that leads nowhere.
    #[error("the page {0} leads no further")]
    Stuck(String),
    /// Too many pages.
    #[error("the way to the message is too long")]
    TooLong,
}

/// Follows the link of a notice, has a code mailed, types it; the page with the message.
pub async fn read(home: &Home, daemon: &Daemon, path: &str) -> Result<Page, VisitError> {
    let server = daemon.portal_addresses().first();
    let server = *server.ok_or(VisitError::NoPortal)?;
    let roots = Arc::new(home.world().ca().roots());
    let mut browser = Browser::new(server, roots)?;
    let inbox = home.path("inbox/portal.test");
    let mut code: Option<String> = None;
    let mut page = browser.get(path).await?;
    for _ in 0..MAX_PAGES {
        if page.body.contains(GREETING) {
            return Ok(page);
        }
        let forms = page.forms();
        page = match next(&forms) {
            Some((form, true)) => {
                let digits = match code.take() {
                    Some(code) => code,
                    None => wait_for_code(&inbox).await?,
                };
                type_code(&mut browser, form, &digits).await?
            }
            Some((form, false)) => browser.submit(form, &[]).await?,
            None => return Err(VisitError::Stuck(page.path)),
        };
    }
    Err(VisitError::TooLong)
}

/// The form that leads on, and whether a code is typed into it.
fn next(forms: &[Form]) -> Option<(&Form, bool)> {
    let asks = |form: &&Form| form.names.iter().any(|name| name == "code");
    if let Some(form) = forms.iter().find(asks) {
        return Some((form, true));
    }
    let leads = |form: &&Form| form.action.starts_with("/m/") || form.action.contains("/send");
    Some((forms.iter().find(leads)?, false))
}

/// While it is not known how the code's mail travelled the page asks for it again.
async fn type_code(browser: &mut Browser, form: &Form, digits: &str) -> Result<Page, VisitError> {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let mut form = form.clone();
    for _ in 0..LOOKS {
        ticks.tick().await;
        let page = browser.submit(&form, &[("code", digits)]).await?;
        match next(&page.forms()) {
            Some((again, true)) if again.action == form.action => form = again.clone(),
            _ => return Ok(page),
        }
    }
    Err(VisitError::NoCode)
}

async fn wait_for_code(inbox: &Path) -> Result<String, VisitError> {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    for _ in 0..LOOKS {
        ticks.tick().await;
        if let Some(code) = newest_code(inbox) {
            return Ok(code);
        }
    }
    Err(VisitError::NoCode)
}

/// The code in the newest mail that has one: a line of eight digits.
fn newest_code(inbox: &Path) -> Option<String> {
    let entries = std::fs::read_dir(inbox).ok()?.filter_map(Result::ok);
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "eml"));
    let mut mails = paths
        .iter()
        .rev()
        .filter_map(|path| std::fs::read_to_string(path).ok());
    mails.find_map(|mail| {
        mail.lines().find_map(|line| {
            let digits: String = line.chars().filter(|c| !c.is_whitespace()).collect();
            let is_code = digits.len() == CODE_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
            is_code.then_some(digits)
        })
    })
}
