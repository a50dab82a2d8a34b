//! Server streams whose messages are encoded and framed already.
//!
//! The generated code encodes every message for every subscriber. Here a batch that was framed once
//! is handed to HTTP/2 as it is, the same bytes for all.

use std::convert::Infallible;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use prost::Message;
use tonic::{Status, Streaming, body::Body, codec::Codec, metadata::MetadataValue};
use tonic_prost::ProstCodec;

use crate::status::unreadable;

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
const IDENTITY: &str = "identity";
/// At most this many bytes of a request to read: its filter has two lists of 64 KiB at most.
pub(crate) const REQUEST_BYTES_MAX: usize = 256 * 1024;

/// An HTTP frame of a response.
pub(crate) type Frame = http_body::Frame<Bytes>;

/// Reads the one message of a request.
///
/// # Errors
/// A message that is compressed, too large or malformed.
pub(crate) async fn read_message<M>(request: http::Request<Body>) -> Result<M, Status>
where
    M: Message + Default + 'static,
{
    check_encoding(request.headers())?;
    let decoder = ProstCodec::<(), M>::default().decoder();
    let bytes_max = Some(REQUEST_BYTES_MAX);
    let mut messages = Streaming::new_request(decoder, request.into_body(), None, bytes_max);
    let unreadable = |status| unreadable(status, REQUEST_BYTES_MAX);
    let message = messages.message().await.map_err(unreadable)?;
    message.ok_or_else(|| unreadable(Status::internal("the request holds no message")))
}

/// Messages travel uncompressed; a client that compresses anyhow gets an error that names the
/// accepted encodings, as the generated services send it.
fn check_encoding(headers: &HeaderMap) -> Result<(), Status> {
    match headers.get(ENCODING) {
        Some(encoding) if encoding != IDENTITY => {
            let mut status = Status::unimplemented("compressed messages are not supported");
            let identity = MetadataValue::from_static(IDENTITY);
            status.metadata_mut().insert(ACCEPT_ENCODING, identity);
            Err(status)
        }
        _ => Ok(()),
    }
}

/// A response that streams `frames`, the last of which are trailers.
pub(crate) fn response(frames: impl Stream<Item = Frame> + Send + 'static) -> http::Response<Body> {
    let body: UnsyncBoxBody<Bytes, Infallible> =
        StreamBody::new(frames.map(Ok::<_, Infallible>)).boxed_unsync();
    let mut response = http::Response::new(Body::new(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// The end of a stream.
pub(crate) fn trailers(status: &Status) -> Frame {
    let mut headers = HeaderMap::new();
    if let Err(unsendable) = status.add_header(&mut headers) {
        tracing::error!(%unsendable, "a status cannot be sent");
        headers.insert("grpc-status", HeaderValue::from_static("13"));
    }
    Frame::trailers(headers)
}

/// One message as a gRPC frame: not compressed, its length, its bytes.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put_slice(&message.encode_to_vec());
    frame.freeze()
}
