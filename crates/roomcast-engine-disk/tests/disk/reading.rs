//! What is read from the disk is what was written, whatever it says.

use roomcast_engine_disk::Settings;

use crate::support::{Directories, Room, open_with};

#[test]
fn no_message_can_pretend_to_follow_another() {
    let directories = Directories::default();
    let settings = Settings { tail_bytes_max: 0, ..Settings::default() };
    let disk = open_with(&directories.fresh(), settings).unwrap();
    let room = Room::of(&disk, "r");
    room.say("before", None).unwrap();
    room.say_json(r#"{"a":1,"seq":2,"prev":77}"#).unwrap();
    room.say("after", None).unwrap();
    assert_eq!(room.all().map(|all| all.len()), Ok(3));
}
