//! The object identifiers of CMS and S/MIME that occur here, as the octets of their DER content.

use x509_cert::der::asn1::ObjectIdentifier;

macro_rules! oids {
    ($($(#[$doc:meta])+ $name:ident = $text:literal;)+) => {$(
        $(#[$doc])+
        pub const $name: &[u8] = {
            const OID: ObjectIdentifier = ObjectIdentifier::new_unwrap($text);
            OID.as_bytes()
        };
    )+};
}

oids! {
    /// id-data (RFC 5652 §4).
    DATA = "1.2.840.113549.1.7.1";
    /// id-signedData (RFC 5652 §5).
    SIGNED_DATA = "1.2.840.113549.1.7.2";
    /// id-envelopedData (RFC 5652 §6).
    ENVELOPED_DATA = "1.2.840.113549.1.7.3";
    /// id-ct-authEnvelopedData (RFC 5083).
    AUTH_ENVELOPED_DATA = "1.2.840.113549.1.9.16.1.23";

    /// rsaEncryption (RFC 8017).
    RSA_ENCRYPTION = "1.2.840.113549.1.1.1";
    /// id-RSAES-OAEP (RFC 4055).
    RSAES_OAEP = "1.2.840.113549.1.1.7";
    /// id-mgf1 (RFC 4055).
    MGF1 = "1.2.840.113549.1.1.8";
    /// id-pSpecified (RFC 4055).
    P_SPECIFIED = "1.2.840.113549.1.1.9";
    /// sha256WithRSAEncryption (RFC 5754).
    RSA_WITH_SHA256 = "1.2.840.113549.1.1.11";
    /// id-ecPublicKey (RFC 5480).
    EC_PUBLIC_KEY = "1.2.840.10045.2.1";
    /// secp256r1 (RFC 5480).
    P256 = "1.2.840.10045.3.1.7";
    /// secp384r1 (RFC 5480).
    P384 = "1.3.132.0.34";
    /// id-X25519 (RFC 8410).
    X25519 = "1.3.101.110";
    /// id-Ed25519 (RFC 8410).
    ED25519 = "1.3.101.112";
    /// ecdsa-with-SHA256 (RFC 5758).
    ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2";
    /// ecdsa-with-SHA384 (RFC 5758).
    ECDSA_WITH_SHA384 = "1.2.840.10045.4.3.3";

    /// dhSinglePass-stdDH-sha256kdf-scheme (RFC 5753).
    ECDH_SHA256_KDF = "1.3.132.1.11.1";
    /// dhSinglePass-stdDH-sha384kdf-scheme (RFC 5753).
    ECDH_SHA384_KDF = "1.3.132.1.11.2";
    /// dhSinglePass-stdDH-sha512kdf-scheme (RFC 5753).
    ECDH_SHA512_KDF = "1.3.132.1.11.3";
    /// dhSinglePass-stdDH-hkdf-sha256-scheme (RFC 8418).
    ECDH_HKDF_SHA256 = "1.2.840.113549.1.9.16.3.19";
    /// dhSinglePass-stdDH-hkdf-sha384-scheme (RFC 8418).
    ECDH_HKDF_SHA384 = "1.2.840.113549.1.9.16.3.20";
    /// dhSinglePass-stdDH-hkdf-sha512-scheme (RFC 8418).
    ECDH_HKDF_SHA512 = "1.2.840.113549.1.9.16.3.21";
    /// id-aes128-wrap (RFC 3565).
    AES128_WRAP = "2.16.840.1.101.3.4.1.5";
    /// id-aes192-wrap (RFC 3565).
    AES192_WRAP = "2.16.840.1.101.3.4.1.25";
    /// id-aes256-wrap (RFC 3565).
    AES256_WRAP = "2.16.840.1.101.3.4.1.45";

    /// id-aes128-CBC (RFC 3565).
    AES128_CBC = "2.16.840.1.101.3.4.1.2";
    /// id-aes192-CBC (RFC 3565).
    AES192_CBC = "2.16.840.1.101.3.4.1.22";
    /// id-aes256-CBC (RFC 3565).
    AES256_CBC = "2.16.840.1.101.3.4.1.42";
    /// id-aes128-GCM (RFC 5084).
    AES128_GCM = "2.16.840.1.101.3.4.1.6";
    /// id-aes192-GCM (RFC 5084).
    AES192_GCM = "2.16.840.1.101.3.4.1.26";
    /// id-aes256-GCM (RFC 5084).
    AES256_GCM = "2.16.840.1.101.3.4.1.46";

    /// id-sha256 (RFC 5754).
    SHA256 = "2.16.840.1.101.3.4.2.1";
    /// id-sha384 (RFC 5754).
    SHA384 = "2.16.840.1.101.3.4.2.2";
    /// id-sha512 (RFC 5754).
    SHA512 = "2.16.840.1.101.3.4.2.3";

    /// contentType attribute (RFC 5652 §11.1).
    CONTENT_TYPE = "1.2.840.113549.1.9.3";
    /// messageDigest attribute (RFC 5652 §11.2).
    MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
    /// signingTime attribute (RFC 5652 §11.3).
    SIGNING_TIME = "1.2.840.113549.1.9.5";
    /// sMIMECapabilities: attribute (RFC 8551 §2.5.2) and certificate extension (RFC 4262).
    SMIME_CAPABILITIES = "1.2.840.113549.1.9.15";
    /// signingCertificateV2 attribute (RFC 5035).
    SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47";

    /// subjectKeyIdentifier extension (RFC 5280 §4.2.1.2).
    SUBJECT_KEY_IDENTIFIER = "2.5.29.14";
    /// keyUsage extension (RFC 5280 §4.2.1.3).
    KEY_USAGE = "2.5.29.15";
}
