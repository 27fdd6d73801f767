use super::*;
use crate::fakes::store::TestStore;
use ibid_protocol::{ApiError, ErrorCode};

#[tokio::test]
async fn a_disk_that_was_full_admits_nothing_until_it_has_recovered() {
    let test = TestStore::open().await;
    let disk = &test.store.disk;
    assert_eq!(disk.admit(1).await, Ok(()));
    disk.note(DiskError::Full);
    assert_eq!(disk.admit(0).await, Err(DiskError::Full));
    assert_eq!(disk.health().await, Err(DiskError::Full), "also while a try to write succeeds");
    disk.recovered();
    assert_eq!(disk.health().await, Ok(()));
}

#[tokio::test]
async fn more_than_is_free_is_refused_and_noted() {
    let test = TestStore::open().await;
    let disk = Disk::new(DiskGuard::new(test.directory.path(), u64::MAX / 2));
    assert_eq!(disk.admit(0).await, Err(DiskError::Full));
    assert_eq!(disk.disk_error(), Some(DiskError::Full));
}

#[tokio::test]
async fn an_error_of_the_disk_is_noted_and_one_of_the_document_is_not() {
    let test = TestStore::open().await;
    let disk = &test.store.disk;
    let of_the_document = ApiError::new(ErrorCode::ProcessingError, "no text").into();
    assert_eq!(disk.explains(&of_the_document).await, None);
    assert_eq!(disk.disk_error(), None);
    assert_eq!(disk.explains(&DiskError::ReadOnly.into()).await, Some(DiskError::ReadOnly));
    assert_eq!(disk.disk_error(), Some(DiskError::ReadOnly));
}
