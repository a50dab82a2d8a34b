//! What certificates of clients say, read so that nothing in them can look like something else.

use access::{
    Certificate,
    name::{Attribute, Name, Value},
};
use chrono::{DateTime, Utc};
use rustls::pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate,
    der_parser::asn1_rs::{BmpString, Tag},
    extensions::GeneralName,
    prelude::FromDer,
    x509::AttributeTypeAndValue,
};

/// What a certificate that was verified says of its owner, and until when it does.
pub(crate) fn read(encoded: &CertificateDer<'_>) -> Option<(Certificate, DateTime<Utc>)> {
    let (_, read) = X509Certificate::from_der(encoded).ok()?;
    let parts = read
        .subject()
        .iter_rdn()
        .map(|part| part.iter().map(attribute).collect());
    let subject = Name::new(parts);
    // One that cannot be read says nothing.
    let alternatives = read.subject_alternative_name().ok().flatten();
    let alternatives = alternatives.map_or(&[][..], |names| &names.value.general_names);
    let uris = alternatives.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let dns = alternatives.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    let expires = DateTime::from_timestamp(read.validity().not_after.timestamp(), 0)?;
    Some((Certificate::new(&subject, uris, dns, encoded), expires))
}

fn attribute(read: &AttributeTypeAndValue<'_>) -> Attribute {
    let value = read.attr_value();
    let text = match value.tag() {
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::NumericString
        | Tag::VisibleString
        | Tag::Ia5String => std::str::from_utf8(value.data).ok().map(str::to_owned),
        Tag::BmpString => {
            let text = BmpString::try_from(value.clone()).ok();
            text.map(|text| text.string())
        }
        _ => None,
    };
    let value = text.map_or_else(
        || {
            let tag = u8::try_from(value.tag().0).unwrap_or(u8::MAX);
            Value::Other([&[tag], value.data].concat())
        },
        Value::Text,
    );
    (read.attr_type().to_id_string(), value)
}
