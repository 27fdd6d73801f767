//! There is a case for every rule of `docs/protocol.md`.

use std::collections::{BTreeMap, BTreeSet};

const PROTOCOL: &str = include_str!("../../../docs/protocol.md");

/// The sources in which the cases are.
const SOURCES: &[(&str, &str)] = &[
    ("collections", include_str!("../collections.rs")),
    ("control", include_str!("../control.rs")),
    ("faults", include_str!("../faults.rs")),
    ("frames", include_str!("../frames.rs")),
    ("messages", include_str!("../messages.rs")),
    ("query", include_str!("../query.rs")),
    ("tus", include_str!("../tus.rs")),
    ("uploads", include_str!("../uploads.rs")),
    ("events", include_str!("../../../crates/server/src/ws/events.rs")),
    ("alerts", include_str!("../../../crates/server/src/monitor/alerts.rs")),
    ("conformance::collections", include_str!("collections.rs")),
    ("conformance::connections", include_str!("connections.rs")),
    ("conformance::guide", include_str!("guide.rs")),
    ("conformance::monitor", include_str!("monitor.rs")),
    ("conformance::upload", include_str!("upload/mod.rs")),
    ("conformance::upload::resume", include_str!("upload/resume.rs")),
];

/// Each rule, and the tests that would fail without it.
const CASES: &[(&str, &[&str])] = &[
    (
        "C1",
        &[
            "messages::messages_that_cannot_be_read_are_invalid",
            "conformance::upload::an_invalid_message_is_an_error_that_names_the_field_and_the_connection_stays_open",
        ],
    ),
    (
        "C2",
        &[
            "messages::a_wrong_value_is_named_with_what_is_wrong_about_it",
            "conformance::upload::an_invalid_message_is_an_error_that_names_the_field_and_the_connection_stays_open",
        ],
    ),
    ("C3", &["messages::the_longest_question_is_taken_and_unknown_fields_are_ignored"]),
    (
        "C4",
        &[
            "frames::a_fragmented_message_is_put_together_around_a_ping",
            "frames::pings_are_answered_with_their_payload_and_pongs_not_at_all",
            "frames::a_close_is_answered_with_its_code",
            "frames::bytes_that_come_one_by_one_make_a_message",
        ],
    ),
    (
        "C5",
        &[
            "frames::a_message_of_more_than_a_mebibyte_is_closed_with_1009",
            "frames::a_message_of_a_mebibyte_is_read",
        ],
    ),
    ("C6", &["frames::text_that_is_not_utf8_is_closed_with_1007"]),
    ("C7", &["frames::what_breaks_the_protocol_is_closed_with_1002"]),
    (
        "C8",
        &["conformance::connections::whoever_does_not_answer_pings_is_closed_with_1001"],
    ),
    (
        "C9",
        &[
            "faults::a_stop_closes_idle_sockets_with_1001",
            "faults::a_stop_lets_a_query_in_flight_finish",
            "conformance::upload::resume::an_upload_is_resumed_after_the_server_was_stopped_or_killed",
        ],
    ),
    (
        "C10",
        &["conformance::connections::over_the_cap_the_answer_is_503_with_retry_after_before_the_upgrade"],
    ),
    (
        "C11",
        &["conformance::connections::more_queries_than_a_connection_may_have_are_refused_as_recoverable"],
    ),
    (
        "C12",
        &[
            "events::a_peer_that_reads_slowly_misses_the_oldest_and_is_told_how_many",
            "events::of_what_is_replaced_only_the_newest_waits",
        ],
    ),
    (
        "C13",
        &[
            "conformance::connections::connections_that_end_in_any_way_leave_nothing_behind",
            "conformance::connections::whoever_ends_its_side_without_a_close_frame_is_forgotten",
        ],
    ),
    ("C14", &["frames::requests_that_are_no_handshake_are_refused"]),
    ("Q1", &["query::tokens_joined_are_the_answer_by_every_way_of_asking"]),
    ("Q2", &["query::tokens_joined_are_the_answer_by_every_way_of_asking"]),
    (
        "Q3",
        &[
            "query::an_answer_cites_the_page_that_holds_it_with_an_exact_quotation",
            "query::a_quotation_is_exact_in_text_of_characters_of_several_bytes",
        ],
    ),
    ("Q4", &["query::without_sources_there_are_no_citations_and_no_markers"]),
    (
        "Q5",
        &[
            "query::an_answer_cites_the_page_that_holds_it_with_an_exact_quotation",
            "query::a_question_is_analysed",
        ],
    ),
    ("Q6", &["query::tokens_joined_are_the_answer_by_every_way_of_asking"]),
    ("Q7", &["query::several_queries_at_once_on_one_connection_do_not_mix"]),
    ("Q8", &["messages::a_request_id_in_flight_cannot_be_used_again"]),
    (
        "Q9",
        &[
            "control::config_sets_the_defaults_of_later_queries",
            "control::a_config_that_is_wrong_changes_nothing",
        ],
    ),
    (
        "Q10",
        &[
            "control::control_finds_its_query_by_either_name_or_as_the_only_one",
            "control::control_of_no_query_is_an_error",
        ],
    ),
    ("Q11", &["control::a_paused_query_is_silent_until_it_is_resumed"]),
    ("Q12", &["control::a_cancelled_query_ends_with_one_complete_and_says_so"]),
    ("Q13", &["control::closing_the_socket_cancels_its_queries"]),
    ("Q14", &["query::a_question_that_nothing_answers_gets_that_answer"]),
    ("Q15", &["messages::a_collection_that_does_not_exist_is_an_error"]),
    ("Q16", &["messages::a_collection_that_does_not_exist_is_an_error"]),
    (
        "U1",
        &[
            "uploads::the_events_of_an_upload_come_in_order_from_start_to_end",
            "conformance::upload::a_file_comes_in_binary_frames_and_has_the_same_events_as_any_other",
            "tus::a_file_in_pieces_becomes_a_document_with_the_same_events",
        ],
    ),
    (
        "U2",
        &[
            "uploads::a_failed_upload_says_why_and_a_duplicate_says_of_what",
            "conformance::upload::resume::control_cancel_ends_an_upload_from_any_connection",
        ],
    ),
    (
        "U3",
        &["conformance::upload::file_size_is_true_also_where_no_part_of_the_form_says_it"],
    ),
    ("U4", &["uploads::a_late_subscriber_gets_the_events_of_uploads_in_flight"]),
    (
        "U5",
        &[
            "uploads::a_late_subscriber_gets_the_events_of_uploads_in_flight",
            "conformance::upload::resume::an_upload_is_resumed_after_the_server_was_stopped_or_killed",
        ],
    ),
    (
        "U6",
        &["conformance::upload::a_file_comes_in_binary_frames_and_has_the_same_events_as_any_other"],
    ),
    (
        "U7",
        &["conformance::upload::a_file_comes_in_binary_frames_and_has_the_same_events_as_any_other"],
    ),
    ("U8", &["conformance::upload::bytes_that_no_upload_is_named_for_are_refused"]),
    (
        "U9",
        &["conformance::upload::binary_frames_have_up_to_4_mib_and_text_frames_no_more_than_elsewhere"],
    ),
    (
        "U10",
        &["conformance::upload::more_bytes_than_were_announced_are_refused_and_none_of_them_is_taken"],
    ),
    (
        "U11",
        &[
            "conformance::upload::resume::after_a_dropped_connection_resume_answers_with_bytes_uploaded",
            "conformance::upload::resume::a_connection_that_is_lost_unnoticed_does_not_keep_the_upload",
            "conformance::upload::resume::an_upload_is_resumed_after_the_server_was_stopped_or_killed",
            "tus::a_piece_that_breaks_off_is_kept_as_far_as_it_came",
        ],
    ),
    (
        "U12",
        &["conformance::upload::resume::several_uploads_share_a_connection_and_resume_selects_one"],
    ),
    (
        "U13",
        &[
            "conformance::upload::an_upload_in_one_request_cannot_be_resumed_but_its_end_is_reported",
            "conformance::upload::an_invalid_message_is_an_error_that_names_the_field_and_the_connection_stays_open",
        ],
    ),
    (
        "U14",
        &[
            "conformance::upload::resume::control_cancel_ends_an_upload_from_any_connection",
            "conformance::upload::resume::control_cancel_ends_an_upload_in_processing_and_nothing_of_it_stays",
        ],
    ),
    (
        "U15",
        &["conformance::upload::resume::an_upload_that_nobody_resumes_expires_and_leaves_nothing"],
    ),
    (
        "U16",
        &["conformance::upload::an_invalid_message_is_an_error_that_names_the_field_and_the_connection_stays_open"],
    ),
    ("T1", &["tus::options_tells_what_the_server_can"]),
    ("T2", &["tus::the_version_must_be_one_that_is_spoken"]),
    (
        "T3",
        &[
            "tus::a_file_in_pieces_becomes_a_document_with_the_same_events",
            "tus::errors_say_what_is_wrong_with_a_creation",
            "tus::a_creation_may_bring_the_bytes_along",
        ],
    ),
    ("T4", &["tus::head_tells_length_offset_and_metadata_as_it_came"]),
    (
        "T5",
        &[
            "tus::a_wrong_offset_is_a_conflict_and_changes_nothing",
            "tus::errors_say_what_is_wrong_with_a_piece",
        ],
    ),
    ("T6", &["tus::a_piece_that_breaks_off_is_kept_as_far_as_it_came"]),
    (
        "T7",
        &["tus::termination_frees_everything", "tus::errors_say_what_is_wrong_with_a_creation"],
    ),
    (
        "T8",
        &[
            "tus::an_upload_goes_on_after_a_restart",
            "conformance::guide::the_reference_client_of_tus_uploads_and_resumes",
        ],
    ),
    ("T9", &["tus::a_post_may_stand_for_another_method_and_a_get_may_not"]),
    ("T10", &["tus::pages_elsewhere_may_use_it_where_they_may_use_the_server"]),
    (
        "M1",
        &[
            "conformance::monitor::system_metrics_count_connections_and_queries_as_they_are",
            "conformance::monitor::each_reader_has_its_interval",
        ],
    ),
    (
        "M2",
        &[
            "conformance::monitor::service_status_comes_for_each_service_at_once_and_again_every_15_seconds",
            "conformance::monitor::a_language_model_that_goes_away_raises_an_alert_and_so_does_its_return",
            "conformance::monitor::a_quarantined_plugin_is_an_alert_and_degrades_the_runtime",
        ],
    ),
    (
        "M3",
        &[
            "conformance::monitor::a_threshold_that_is_crossed_is_one_alert_however_long_it_lasts",
            "alerts::a_number_that_swings_around_the_threshold_raises_one_alert",
        ],
    ),
    (
        "M4",
        &[
            "conformance::monitor::a_language_model_that_goes_away_raises_an_alert_and_so_does_its_return",
            "conformance::monitor::a_quarantined_plugin_is_an_alert_and_degrades_the_runtime",
        ],
    ),
    (
        "M5",
        &[
            "conformance::monitor::service_status_comes_for_each_service_at_once_and_again_every_15_seconds",
            "conformance::monitor::a_threshold_that_is_crossed_is_one_alert_however_long_it_lasts",
        ],
    ),
    (
        "M6",
        &[
            "conformance::monitor::wrong_parameters_are_refused",
            "conformance::monitor::types_are_told_apart",
        ],
    ),
    ("K1", &["conformance::collections::seq_rises_with_every_event_of_any_collection"]),
    ("K2", &["collections::document_added_comes_when_a_search_finds_the_document"]),
    (
        "K3",
        &["conformance::collections::collection_stats_come_at_most_once_a_second_and_are_exact_at_the_end"],
    ),
    (
        "K4",
        &[
            "conformance::collections::after_replays_what_was_missed_in_order_also_over_a_restart",
            "conformance::collections::more_events_than_are_read_at_a_time_are_replayed_whole",
            "conformance::collections::after_must_be_a_number_from_0",
        ],
    ),
    ("K5", &["conformance::collections::gap_tells_how_much_the_bounded_log_has_dropped"]),
    ("K6", &["collections::events_tell_of_documents_once_they_can_be_found"]),
    ("K7", &["collections::event_sockets_take_no_messages_and_stay_open"]),
];

/// Rules that only hold with authentication, which has tests of its own.
const ELSEWHERE: &[&str] = &["U17"];

#[test]
fn every_rule_has_a_case() {
    let rules: BTreeSet<&str> = PROTOCOL
        .lines()
        .filter_map(|line| line.strip_prefix("- **")?.split_once("**").map(|(rule, _)| rule))
        .collect();
    let cases: BTreeMap<&str, &[&str]> = CASES.iter().copied().collect();
    assert_eq!(cases.len(), CASES.len(), "a rule is listed twice");
    let covered: BTreeSet<&str> = cases.keys().copied().chain(ELSEWHERE.iter().copied()).collect();
    assert_eq!(rules, covered, "rules of docs/protocol.md, and those that have cases");
    for (rule, tests) in cases {
        assert!(!tests.is_empty(), "{rule}");
        for test in tests {
            let (module, name) = test.rsplit_once("::").expect("a path");
            let source = SOURCES.iter().find(|(known, _)| *known == module);
            let (_, source) = source.unwrap_or_else(|| panic!("{rule}: there is no {module}"));
            assert!(source.contains(&format!("fn {name}()")), "{rule}: there is no test {test}");
        }
    }
}
