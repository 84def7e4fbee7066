//! Desktops as they are read.

use domain::{Error, ids::ProjectId, page::Page};
use store::desktop::{self, DesktopFilter, DesktopRow};

use crate::Control;

impl Control {
    /// One page of desktops.
    pub async fn list_desktops(
        &self,
        project_id: &ProjectId,
        filter: &DesktopFilter,
        page: Page,
    ) -> Result<(i64, Vec<DesktopRow>), Error> {
        Ok(desktop::list(&mut *self.store.acquire().await?, project_id, filter, page).await?)
    }
}
