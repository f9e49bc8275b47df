//! The names in a path, percent-decoded and checked.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use roomcast_protocol::{RoomName, UserId};

use super::problem::Problem;

/// The room of the path.
pub(super) struct RoomPath(pub(super) RoomName);

/// The user of the path.
pub(super) struct UserPath(pub(super) UserId);

impl<S: Send + Sync> FromRequestParts<S> for RoomPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name = name(parts, state).await?;
        RoomName::new(&name).map(Self).map_err(|error| Problem::invalid_room(&error))
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
    let Path(name) = Path::<String>::from_request_parts(parts, state)
        .await
        .map_err(|error| Problem::bad(format!("the path can't be read: {error}")))?;
    Ok(name)
}
