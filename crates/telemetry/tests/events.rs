//! Events can be set up once in a process.

use seawall_telemetry::events::{self, EventsError, Format};

#[test]
fn events_are_set_up_once_and_a_second_time_is_refused() {
    let events = events::init(Format::Json);
    assert!(events.is_ok());
    seawall_telemetry::occasionally!(INFO, port = 8080, "listening");
    assert!(matches!(events::init(Format::Text), Err(EventsError::Again(_))));
}
