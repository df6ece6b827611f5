//! S/MIME, from the configuration: what the directory of certificates goes by, and who signs.

use bytes::Bytes;

use super::BuildError;
use crate::config::certificate::{CertificateError, read_chain};
use crate::config::{Config, PartnerSection, RevocationMode as Mode, SmimeSection};
use crate::directory::certificates::{Anchors, Folder, Partner, RevocationMode, Settings};
use crate::mail::{ContentCipher, Timestamp};

/// What the directory of certificates goes by. Without `[smime]` it vouches for nothing but what
/// was imported, and asks nobody.
pub(super) fn directory(config: &Config, now: Timestamp) -> Result<Settings, BuildError> {
    let Some(section) = &config.smime else {
        return Ok(Settings::default());
    };
    Ok(Settings {
        anchors: anchors(section)?,
        folder: folder(section, now)?,
        revocation: match section.revocation {
            Mode::Require => RevocationMode::Require,
            Mode::Prefer => RevocationMode::Prefer,
            Mode::Off => RevocationMode::Off,
        },
        partners: section.partners.iter().map(partner).collect(),
        ..Settings::default()
    })
}

fn anchors(section: &SmimeSection) -> Result<Anchors, BuildError> {
    let failed = |source: CertificateError| BuildError::Certificate {
        what: "smime.anchors",
        source,
    };
    let mut certificates = Vec::new();
    for path in &section.anchors {
        let chain = read_chain(path).map_err(failed)?;
        certificates.extend(chain.iter().map(|it| Bytes::copy_from_slice(it)));
    }
    Anchors::new(certificates).map_err(BuildError::Anchors)
}

fn folder(section: &SmimeSection, now: Timestamp) -> Result<Folder, BuildError> {
    let Some(path) = &section.directory else {
        return Ok(Folder::default());
    };
    let (folder, refused) = Folder::read(path, now).map_err(BuildError::Folder)?;
    for file in refused {
        let (path, place, why) = (file.path.display(), file.place, file.why);
        tracing::warn!(%path, place, %why, "a file of the folder of certificates is not used");
    }
    Ok(folder)
}

fn partner(section: &PartnerSection) -> Partner {
    let gcm = |cipher| match cipher {
        ContentCipher::Aes256Gcm => true,
        ContentCipher::Aes256Cbc => false,
    };
    Partner {
        domain: section.name.clone(),
        gcm: section.cipher.map(gcm),
        oaep: section.oaep,
    }
}
