//! The queue and its batches, without a model.

use super::*;

pub(super) fn ticket(position: usize, outcomes: &mpsc::UnboundedSender<Outcome>) -> Ticket {
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a permit");
    Ticket {
        position,
        outcomes: outcomes.clone(),
        _permit: permit,
    }
}

pub(super) fn text(position: usize, outcomes: &mpsc::UnboundedSender<Outcome>) -> Text {
    Text {
        text: format!("text {position}").into(),
        ticket: ticket(position, outcomes),
    }
}

fn positions(job: Option<Job>) -> Vec<usize> {
    match job {
        Some(Job::Texts(_, texts)) => texts.iter().map(|text| text.ticket.position).collect(),
        Some(Job::Run(batch)) => batch.rows.iter().map(|row| row.ticket.position).collect(),
        Some(Job::Pack(rows)) => rows.iter().map(|row| row.ticket.position).collect(),
        None => vec![],
    }
}

#[test]
fn queries_come_together_and_before_documents() {
    let (sender, outcomes) = mpsc::unbounded_channel();
    let queue = Queue::new(3, 100);
    let both = [Lane::Queries, Lane::Documents];
    queue.push(Lane::Documents, [text(10, &sender)]);
    for position in 0..4 {
        queue.push(Lane::Queries, [text(position, &sender)]);
    }
    queue.push(Lane::Documents, [text(11, &sender)]);
    assert_eq!(
        positions(queue.next(&both, Role::Both)),
        [0, 1, 2],
        "those that wait are taken together, up to the window"
    );
    let batch = batch::Batch {
        length: Some(4),
        rows: vec![Row {
            ids: vec![1; 4],
            second: 4,
            ticket: ticket(20, &sender),
        }],
    };
    queue.push_batches(Lane::Queries, [batch]);
    assert_eq!(
        positions(queue.next(&[Lane::Queries], Role::Both)),
        [20],
        "what was begun is finished first"
    );
    assert_eq!(positions(queue.next(&both, Role::Both)), [3]);
    assert_eq!(positions(queue.next(&both, Role::Both)), [10, 11]);
    queue.push(Lane::Documents, [text(12, &sender)]);
    queue.close();
    assert!(queue.next(&both, Role::Both).is_none());
    queue.push(Lane::Documents, [text(13, &sender)]);
    drop(sender);
    assert!(outcomes.is_closed(), "nothing waits in a closed queue");
}

#[test]
fn rows_are_run_in_pieces_of_a_size_beside_those_who_read() {
    let (sender, _outcomes) = mpsc::unbounded_channel();
    let queue = Queue::new(2, 2);
    let both = [Lane::Queries, Lane::Documents];
    let row = |position: usize, tokens: usize| Row {
        ids: vec![1; tokens],
        second: tokens,
        ticket: ticket(position, &sender),
    };
    queue.push(Lane::Documents, (0..3).map(|position| text(position, &sender)));
    queue.push_rows(Lane::Documents, [row(10, 4), row(11, 5), row(12, 2), row(13, 30), row(14, 1)]);
    queue.push_rows(Lane::Queries, [row(20, 1)]);
    let run = Role::Run { tokens: 10 };
    assert_eq!(positions(queue.next(&both, Role::Read)), [0, 1], "readers take texts alone");
    assert_eq!(positions(queue.next(&both, run)), [20]);
    assert_eq!(positions(queue.next(&both, run)), [10, 11], "as many as fit");
    assert_eq!(positions(queue.next(&both, run)), [12]);
    assert_eq!(positions(queue.next(&both, run)), [13], "one that is too long goes alone");
    assert_eq!(positions(queue.next(&both, run)), [14]);
    assert_eq!(positions(queue.next(&both, Role::Read)), [2]);
}

#[test]
fn batches_hold_one_length_and_stay_in_bounds() {
    let (sender, _outcomes) = mpsc::unbounded_channel();
    for (tokens, rows, length) in [(64, 4, 30), (1, 1, 30), (1_000_000, 1_000, 30), (100, 0, 31)] {
        let limits = Limits {
            padding: Some(Padding {
                step: batch::STEP,
                longest: length,
            }),
            tokens,
            rows,
        };
        let all: Vec<Row> = (0..200)
            .map(|position| Row {
                ids: vec![1; 2 + position * 11 % 29],
                second: 2 + position * 11 % 29,
                ticket: ticket(position, &sender),
            })
            .collect();
        let batches = batch::divide(all, limits);
        let mut seen = Vec::new();
        for batch in &batches {
            let padded = batch.length.expect("rows are padded");
            assert!(padded <= length);
            assert!(batch.rows.len() == 1 || (batch.rows.len() <= rows && batch.cells() <= tokens));
            assert_eq!(batch.cells(), batch.rows.len() * padded);
            for row in &batch.rows {
                assert_eq!(
                    padded,
                    batch::padded(row.ids.len(), batch::STEP, length),
                    "the length is the row's own"
                );
                seen.push(row.ticket.position);
            }
            let input = batch.to_rows();
            assert_eq!(
                (input.ids.len(), input.mask.len()),
                (input.rows * input.length, input.rows * input.length)
            );
            let real: usize = batch.rows.iter().map(|row| row.ids.len()).sum();
            assert_eq!(input.mask.iter().sum::<i64>(), i64::try_from(real).expect("small"));
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..200).collect::<Vec<_>>(), "each row once");
    }
}

#[test]
fn batches_of_rows_that_are_not_padded_keep_their_order() {
    for (tokens, rows) in [(64, 4), (1, 1), (1_000_000, 1_000), (100, 0)] {
        let limits = Limits {
            padding: None,
            tokens,
            rows,
        };
        let all: Vec<Vec<u32>> = (0..200).map(|position| vec![position; 2 + position as usize * 11 % 29]).collect();
        let batches = batch::divide(all.clone(), limits);
        for batch in &batches {
            assert_eq!(batch.length, None);
            assert!(batch.rows.len() == 1 || (batch.rows.len() <= rows && batch.cells() <= tokens));
            assert_eq!(batch.cells(), batch.rows.iter().map(Vec::len).sum::<usize>());
        }
        // Not one that could have taken the next one's first row.
        for pair in batches.windows(2) {
            let room = pair[0].rows.len() < rows && pair[0].cells() + pair[1].rows[0].len() <= tokens;
            assert!(!room);
        }
        assert_eq!(batches.into_iter().flat_map(|batch| batch.rows).collect::<Vec<_>>(), all);
    }
}
