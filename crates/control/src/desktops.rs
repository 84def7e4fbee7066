//! Desktops as they are read.

use domain::{
    Error,
    access::{ALL, Action, Resource},
    page::Page,
};
use store::desktop::{self, DesktopFilter, DesktopOrder, DesktopRow};

use crate::{Caller, Control};

impl Control {
    /// One page of desktops, and how many there are in all. `action` is that of the list that is asked for.
    pub async fn list_desktops(
        &self,
        caller: &Caller,
        action: Action,
        filter: &DesktopFilter,
        order: DesktopOrder,
        page: Page,
    ) -> Result<(i64, Vec<DesktopRow>), Error> {
        caller.check(action, [Resource::Desktop(ALL)])?;
        let mut connection = self.store.acquire().await?;
        Ok(desktop::list(&mut connection, caller.project_id(), filter, order, page).await?)
    }
}
