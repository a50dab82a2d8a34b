use crate::{Access, Denied, Entry, Identity, Peer, Scope, Tokens};

/// How clients are authenticated.
#[derive(Debug, Clone)]
pub enum Gate {
    /// Nobody is asked who they are, and everybody may do everything.
    Open,
    /// By a token or a client certificate that has an entry.
    Tokens(Tokens),
    /// By a certificate of the trusted authority, with which everything may be done.
    Certificates,
}

impl Gate {
    /// Whether everybody may do everything.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// The access of a client. `authorization` is the header of this name as it was sent: a token
    /// that was sent counts, and a certificate where none was.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`].
    pub fn admit(&self, authorization: Option<&[u8]>, peer: &Peer) -> Result<Access, Denied> {
        match (self, authorization, peer.certificate.as_deref()) {
            (Self::Open, ..) => Ok(Access::everything()),
            (Self::Tokens(tokens), Some(header), _) => tokens.by_token(bearer(header)?),
            (Self::Tokens(tokens), None, Some(shown)) => tokens.by_certificate(shown),
            (Self::Certificates, _, Some(shown)) => {
                let identity = Identity::Certificate(shown.shown().to_owned());
                Ok(Access::of_entry(Entry::new(
                    shown.shown(),
                    identity,
                    Scope::ALL.to_vec(),
                )))
            }
            (Self::Tokens(_), None, None) | (Self::Certificates, _, None) => {
                Err(Denied::Unauthenticated)
            }
        }
    }
}

fn bearer(header: &[u8]) -> Result<&str, Denied> {
    let text = std::str::from_utf8(header).map_err(|_| Denied::Unauthenticated)?;
    let (scheme, token) = text.trim().split_once(' ').ok_or(Denied::Unauthenticated)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(token.trim());
    }
    Err(Denied::Unauthenticated)
}
