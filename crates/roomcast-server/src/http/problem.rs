//! A refusal, as HTTP tells it: problem details (RFC 9457) with the protocol's code.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use roomcast_hub::RoomError;
use roomcast_protocol::{
    Code, InvalidName, Limits, Object, Position, Refusal, RoomName,
    server::{self, Head},
};

use crate::auth::AuthError;

/// What was not done, and why.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Problem {
    pub(super) code: Code,
    message: String,
    retry_after: Option<Duration>,
    /// Which room it is about, where several may have been asked for.
    room: Option<RoomName>,
    /// Where the message stands that is not as durable as it should be.
    position: Option<Position>,
}

impl Problem {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None, room: None, position: None }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    pub(super) fn invalid_room(error: &InvalidName) -> Self {
        Self::new(Code::InvalidRoom, error.to_string())
    }

    /// A defect of the server: told as such, and the rest to its log.
    pub(super) fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(%cause, "a request could not be answered");
        Self::new(Code::Internal, "the server has a defect; its log says more")
    }

    /// The same, with the time after which it may be tried again.
    pub(super) fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// The same, about this room.
    pub(super) fn about(self, room: &RoomName) -> Self {
        Self { room: Some(room.clone()), ..self }
    }

    /// Why a room doesn't do what it is asked.
    pub(super) fn of_room(RoomError { code, message, position }: RoomError, limits: &Limits) -> Self {
        let problem = Self { position, ..Self::new(code, message) };
        if code.retryable() { problem.after(limits.retry_after_min) } else { problem }
    }

    /// Appends it as an `error` of a stream.
    pub(super) fn write_error(&self, head: Head<'_>, out: &mut Vec<u8>) {
        server::error(head, self.code, &self.message, self.retry_after, out);
    }

    /// Appends it as one element of an array of answers.
    pub(super) fn write_element(&self, out: &mut Vec<u8>) {
        let mut element = Object::new(out);
        element.text("status", "error");
        server::problem_fields(&mut element, self.code, &self.message, self.retry_after);
        self.write_position(&mut element);
        element.end();
    }

    fn write(&self, status: StatusCode, out: &mut Vec<u8>) {
        let mut details = Object::new(out);
        details.text("type", "about:blank").text("title", status.canonical_reason().unwrap_or_default());
        details.number("status", u64::from(status.as_u16())).text("detail", &self.message);
        details.text("code", self.code.name()).flag("retryable", self.code.retryable());
        if let Some(wait) = self.retry_after {
            details.seconds("retry_after", wait);
        }
        details.text_if("room", self.room.as_deref());
        self.write_position(&mut details);
        details.end();
    }

    fn write_position(&self, out: &mut Object<'_>) {
        if let Some(position) = &self.position {
            server::position_fields(out, position);
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        Self::new(error.code(), error.message())
    }
}

impl From<Refusal> for Problem {
    fn from(Refusal { code, message, .. }: Refusal) -> Self {
        Self::new(code, message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut body = Vec::with_capacity(256);
        self.write(status, &mut body);
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1000) as u64));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_named_where_it_is_known() {
        let room = RoomName::new("chat:1").unwrap();
        let mut details = Vec::new();
        Problem::new(Code::Forbidden, "no").about(&room).write(StatusCode::FORBIDDEN, &mut details);
        assert!(std::str::from_utf8(&details).unwrap().ends_with(r#","room":"chat:1"}"#));
    }

    #[test]
    fn retry_after_rounds_up_to_seconds() {
        let problem = Problem::new(Code::RateLimited, "slow down").after(Duration::from_millis(1250));
        let mut element = Vec::new();
        problem.write_element(&mut element);
        assert_eq!(
            std::str::from_utf8(&element).unwrap(),
            r#"{"status":"error","code":"rate_limited","message":"slow down","retryable":true,"retry_after":1.25}"#
        );
        let response = problem.into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
