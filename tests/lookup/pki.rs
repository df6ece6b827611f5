//! An authority, what it issues, and what it says of it.

use bytes::Bytes;
use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension, DnType, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SerialNumber, SigningKey,
};
use sealpost::directory::revocation::{CheckRevocation, Revocation, RevocationStatus};
use sealpost::mail::Timestamp;

use crate::der::{bits, children, content, oid, seq, tlv};
use crate::fetch::fetcher;
use crate::http::{Reply, Web};
use crate::support::world::World;

pub const RESPONDER: &str = "http://ocsp.b.example/";
pub const LIST: &str = "http://crl.b.example/list.crl";
/// ecdsa-with-SHA256.
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// ecdsa-with-SHA1.
pub const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];

pub struct Authority {
    pub der: Bytes,
    pub params: CertificateParams,
    pub key: KeyPair,
}

/// Where a certificate says that one can ask.
#[derive(Clone, Copy, PartialEq)]
pub enum Names {
    Nothing,
    Responder,
    List,
    Both,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Authority {
    pub fn new(name: &str) -> Self {
        Self::with(authority_params(name))
    }

    pub fn with(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec().into();
        Self { der, params, key }
    }

    /// An authority below this one.
    pub fn authority(&self, name: &str, serial: u64, names: Names) -> Self {
        let mut params = authority_params(name);
        add_names(&mut params, names);
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        let der = self.sign_certificate(&params, &key);
        Self { der, params, key }
    }

    pub fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    fn sign_certificate(&self, params: &CertificateParams, key: &KeyPair) -> Bytes {
        let signed = params.signed_by(key, &self.issuer()).unwrap();
        signed.der().to_vec().into()
    }

    pub fn issue(&self, serial: u64, names: Names) -> Bytes {
        self.issue_with(serial, |params| add_names(params, names)).0
    }

    pub fn issue_with(
        &self,
        serial: u64,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (Bytes, KeyPair) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "jo");
        params.serial_number = Some(SerialNumber::from(serial));
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (self.sign_certificate(&params, &key), key)
    }

    pub fn subject(&self) -> Vec<u8> {
        tbs_field(&self.der, 5).to_vec()
    }

    /// The octets of its public key.
    pub fn public_key(&self) -> Vec<u8> {
        content(children(tbs_field(&self.der, 6))[1])[1..].to_vec()
    }

    pub fn signed(&self, message: &[u8]) -> Vec<u8> {
        signed(message, &self.key, ECDSA_SHA256)
    }
}

pub fn tbs_field(certificate: &[u8], number: usize) -> &[u8] {
    children(children(certificate)[0])[number]
}

pub fn algorithm(id: &[u8]) -> Vec<u8> {
    seq(&[&oid(id)])
}

pub fn ecdsa_sha256() -> Vec<u8> {
    algorithm(ECDSA_SHA256)
}

/// `message, algorithm, signature`, without a sequence around them.
pub fn signed(message: &[u8], key: &KeyPair, id: &[u8]) -> Vec<u8> {
    let signature = key.sign(message).unwrap();
    [message.to_vec(), algorithm(id), bits(&signature)].concat()
}

pub fn add_names(params: &mut CertificateParams, names: Names) {
    if matches!(names, Names::List | Names::Both) {
        params.crl_distribution_points = vec![CrlDistributionPoint {
            uris: vec![LIST.to_owned()],
        }];
    }
    if matches!(names, Names::Responder | Names::Both) {
        add_responder(params, RESPONDER);
    }
}

pub fn add_responder(params: &mut CertificateParams, url: &str) {
    let method = oid(&[0x2b, 6, 1, 5, 5, 7, 0x30, 1]);
    let access = seq(&[&seq(&[&method, &tlv(0x86, &[url.as_bytes()])])]);
    let id = [1, 3, 6, 1, 5, 5, 7, 1, 1];
    params.custom_extensions = vec![CustomExtension::from_oid_content(&id, access)];
}

/// A world with a responder and a server of lists.
pub struct Pki {
    pub world: World,
    pub web: Web,
    pub root: Authority,
    pub revocation: Revocation,
}

impl Pki {
    pub fn new() -> Self {
        let (world, web) = (World::new(), Web::default());
        web.at(&world, "ocsp.b.example", "192.0.2.20:80", None);
        web.at(&world, "crl.b.example", "192.0.2.21:80", None);
        let revocation = Revocation::new(fetcher(&world, false));
        Self {
            root: Authority::new("Root of B"),
            world,
            web,
            revocation,
        }
    }

    pub fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    pub fn responds(&self, reply: Reply) {
        self.web.reply("POST /", reply);
    }

    pub fn lists(&self, reply: Reply) {
        self.web.reply("GET /list.crl", reply);
    }

    /// How often something was asked so far.
    pub fn asked(&self) -> usize {
        self.web.heard().len()
    }

    /// Forgets what was answered.
    pub fn forget(&mut self) {
        self.revocation = Revocation::new(fetcher(&self.world, false));
    }

    /// The status of a certificate of the root's.
    pub async fn status(&self, certificate: &Bytes) -> RevocationStatus {
        let chain = [certificate.clone(), self.root.der.clone()];
        self.revocation.status(&chain, self.now()).await
    }

    /// Why the status of a certificate is not known.
    pub async fn unknown(&self, certificate: &Bytes) -> String {
        match self.status(certificate).await {
            RevocationStatus::Unknown(why) => why,
            other => panic!("{other:?}"),
        }
    }
}
