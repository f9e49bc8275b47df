//! The one table of error codes and the one table of close codes. Documentation, HTTP statuses and the
//! constants of the SDKs are made from these; no number or name of them is typed anywhere else.

macro_rules! codes {
    ($($variant:ident $name:literal $status:literal $retryable:literal $meaning:literal)*) => {
        /// What went wrong, as `error` messages and HTTP problems say it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as the wire says it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The HTTP status that goes with it.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),* }
            }

            /// Whether the same request may succeed later.
            pub const fn retryable(self) -> bool {
                match self { $(Self::$variant => $retryable),* }
            }

            /// What it means and what to do, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),* }
            }
        }
    };
}

codes! {
    BadRequest "bad_request" 400 false "The message could not be read; mend it, sending it again changes nothing."
    UnknownType "unknown_type" 400 false "The type is malformed, or one that only the server sends."
    InvalidRoom "invalid_room" 400 false "The room name is not 1-128 of A-Z a-z 0-9 _ . : @ ~ = + -."
    Unauthorized "unauthorized" 401 false "There is no valid token, and the rules give a guest nothing."
    TokenExpired "token_expired" 401 false "The token has ended; fetch another and come back."
    Forbidden "forbidden" 403 false "The token or the rules don't give this right in this room."
    NotFound "not_found" 404 false "There is nothing at this path."
    MethodNotAllowed "method_not_allowed" 405 false "The path exists, but not for this method."
    Conflict "conflict" 409 false "The id was used for another message within the last 5 minutes."
    NotJoined "not_joined" 409 false "Join the room on this connection first."
    TooLarge "too_large" 413 false "The message is over the size limit."
    RateLimited "rate_limited" 429 true "Too many in too short a time; go on, oldest first, after `retry_after`."
    TooManyRooms "too_many_rooms" 429 true "The connection is in as many rooms as it may be; leave one first."
    Internal "internal" 500 false "The server has a defect; its log says more."
    Unavailable "unavailable" 503 true "The log can't take it now; send it again, with the same id, after `retry_after`."
    NotDurable "not_durable" 503 true "It has a position, but not the durability the room asks for; send it again with the same id."
}

macro_rules! closes {
    ($($variant:ident $number:literal $reason:literal $back:literal $meaning:literal)*) => {
        /// Why a connection is closed: a WebSocket close code and, for 1008, the word its reason starts with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Close {
            $(#[doc = $meaning] $variant,)*
        }

        impl Close {
            /// Every close, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The close code (RFC 6455 section 7.4, or 4000-4999 of our own).
            pub const fn number(self) -> u16 {
                match self { $(Self::$variant => $number),* }
            }

            /// The word that the reason starts with.
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason),* }
            }

            /// The reason in full: the word, then what there is to say.
            pub fn full_reason(self, text: &str) -> String {
                format!("{}: {text}", self.reason())
            }

            /// Whether, and how, a client comes back.
            pub const fn reconnect(self) -> &'static str {
                match self { $(Self::$variant => $back),* }
            }

            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),* }
            }
        }
    };
}

closes! {
    Normal 1000 "bye" "no" "Either side is done."
    Away 1001 "going_away" "yes" "The page or the process goes away."
    Protocol 1002 "protocol_error" "no" "A frame broke RFC 6455."
    Binary 1003 "unsupported" "no" "A binary frame on `roomcast.v1`, which is JSON text."
    Utf8 1007 "invalid_utf8" "no" "A text message was not UTF-8."
    TokenExpired 1008 "token_expired" "with a fresh token" "The token has ended."
    Unauthorized 1008 "unauthorized" "once, with a fresh token, else not" "There is no valid token."
    RateLimited 1008 "rate_limited" "after the backoff" "Too many control frames."
    Forbidden 1008 "forbidden" "no" "The token or the rules don't let this user into the room of the path."
    Origin 1008 "origin" "no" "The page's origin is not on the allow-list."
    Kicked 1008 "kicked" "no" "A back end ended the user's connections."
    InvalidRoom 1008 "invalid_room" "no" "The path names no possible room."
    TooLarge 1009 "too_large" "no" "A message over the size limit, or of too many fragments."
    Internal 1011 "internal" "yes" "The server has a defect; its log says more."
    Restart 1012 "restart" "after `reconnect_in`" "The server is being restarted."
    Overloaded 1013 "overloaded" "after the backoff" "The server can't take this connection now."
    TooSlow 4008 "too_slow" "yes" "The client took no byte for too long; it may resume."
    TakenOver 4009 "taken_over" "no" "The same session connected elsewhere."
}

impl Close {
    /// The error code of the same name, if there is one.
    pub fn code(self) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.name() == self.reason())
    }
}

/// The page of the documentation that lists both tables, in Markdown.
pub fn tables_markdown() -> String {
    use std::fmt::Write as _;
    let mut page = String::from("| code | HTTP | retryable | meaning |\n|---|---|---|---|\n");
    for code in Code::ALL {
        let retryable = if code.retryable() { "yes" } else { "no" };
        let _ =
            writeln!(page, "| `{}` | {} | {retryable} | {} |", code.name(), code.status(), code.meaning());
    }
    page.push_str("\n| close | reason starts with | come back? | meaning |\n|---|---|---|---|\n");
    for close in Close::ALL {
        let (number, reason) = (close.number(), close.reason());
        let _ = writeln!(page, "| {number} | `{reason}` | {} | {} |", close.reconnect(), close.meaning());
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (i, code) in Code::ALL.iter().enumerate() {
            assert!(Code::ALL[i + 1..].iter().all(|other| other.name() != code.name()));
        }
    }
}
