//! The names in a path, percent-decoded and checked.

use std::fmt::Display;

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts, Path},
    http::request::Parts,
};
use roomcast_protocol::{RoomName, UserId};

use percent_encoding::percent_decode_str;

use super::problem::Problem;

/// The room of the path.
pub(super) struct RoomPath(pub(super) RoomName);

/// The user of the path.
pub(super) struct UserPath(pub(super) UserId);

impl<S: Send + Sync> FromRequestParts<S> for RoomPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        room(&name(parts, state).await?)
    }
}

/// Of a path that may name none.
impl<S: Send + Sync> OptionalFromRequestParts<S> for RoomPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Problem> {
        let path = <Path<String> as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await;
        path.map_err(unreadable)?.map(|Path(name)| room(&name)).transpose()
    }
}

impl RoomPath {
    /// From a segment of a path as it was sent.
    pub(super) fn read(segment: &str) -> Result<Self, Problem> {
        let name = percent_decode_str(segment).decode_utf8();
        room(&name.map_err(|_| unreadable("Invalid UTF-8 in `room`"))?)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for UserPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name = name(parts, state).await?;
        UserId::new(&name).map(Self).map_err(|error| Problem::bad(error.to_string()))
    }
}

async fn name<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Problem> {
    let path = <Path<String> as FromRequestParts<S>>::from_request_parts(parts, state).await;
    path.map(|Path(name)| name).map_err(unreadable)
}

fn unreadable<E: Display>(error: E) -> Problem {
    Problem::bad(format!("the path can't be read: {error}"))
}

fn room(name: &str) -> Result<RoomPath, Problem> {
    RoomName::new(name).map(RoomPath).map_err(|error| Problem::invalid_room(&error))
}
