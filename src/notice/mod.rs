//! Mails of ours about the portal: notice, reminder, code, report.
