//! Answers count until their clients have taken them: for the caller, and for all.

use access::{ByteBudget, BytesSpent, HeldBytes, Shares};
use axum::{
    body::{Body, Bytes, HttpBody, to_bytes},
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Response},
};

use super::problem::{Problem, ProblemKind};

/// An answer of up to so many bytes does not count: its connection costs more. So health is answered
/// whatever others hold.
const SMALL_BYTES: u64 = 4 * 1024;

/// What the answers to a caller may hold in memory.
#[derive(Debug, Clone)]
pub struct AnswerBytes(ByteBudget);

impl AnswerBytes {
    /// The share of a caller.
    pub fn of(shares: &Shares, caller: &access::Caller) -> Self {
        Self(shares.of(caller.share()))
    }

    /// Holds bytes for what an answer is made from, until what is returned is dropped.
    ///
    /// # Errors
    /// [`ProblemKind::Overloaded`].
    pub fn hold(&self, bytes: u64) -> Result<HeldBytes, Problem> {
        self.0.hold(bytes).map_err(Problem::from)
    }

    /// The answer, which counts until its client has taken it; a problem if it is one too many.
    pub(super) async fn count(&self, answer: Response) -> Response {
        let (parts, body) = answer.into_parts();
        let size = body.size_hint().lower();
        if size <= SMALL_BYTES {
            return Response::from_parts(parts, body);
        }
        let held = match self.hold(size) {
            Ok(held) => held,
            Err(problem) => return problem.into_response(),
        };
        // All answers are there as a whole.
        match to_bytes(body, usize::MAX).await {
            Ok(bytes) => {
                let counted = Bytes::from_owner(Counted { bytes, _held: held });
                Response::from_parts(parts, Body::from(counted))
            }
            Err(_) => {
                Problem::new(ProblemKind::Internal, "the answer cannot be encoded").into_response()
            }
        }
    }
}

impl From<BytesSpent> for Problem {
    fn from(spent: BytesSpent) -> Self {
        Self::new(ProblemKind::Overloaded, format!("{spent}; try again"))
            .with("reason", "TOO_MANY_BYTES")
    }
}

impl<S: Sync> FromRequestParts<S> for AnswerBytes {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let found = parts.extensions.get::<Self>().cloned();
        // The guard is before every route.
        found.ok_or_else(|| Problem::new(ProblemKind::Internal, "the answer has no memory budget"))
    }
}

/// Bytes that count until the connection drops them.
struct Counted {
    bytes: Bytes,
    _held: HeldBytes,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
