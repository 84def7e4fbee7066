//! Desktops as they are read.

use domain::{
    Error,
    access::{ALL, Action, Resource},
    ids::DesktopId,
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

    /// Desktops in the order of their ids, at most `limit` of them; from where on is in the filter.
    pub async fn page_desktops(
        &self,
        caller: &Caller,
        filter: &DesktopFilter,
        limit: i64,
    ) -> Result<Vec<DesktopRow>, Error> {
        caller.check(Action::ListDesktopsDetail, [Resource::Desktop(ALL)])?;
        let mut connection = self.store.acquire().await?;
        Ok(desktop::page(&mut connection, caller.project_id(), filter, limit).await?)
    }

    /// One desktop.
    pub async fn show_desktop(&self, caller: &Caller, desktop_id: &DesktopId) -> Result<DesktopRow, Error> {
        caller.check(Action::ListDesktopsDetail, [Resource::Desktop(desktop_id.as_str())])?;
        let filter =
            DesktopFilter { desktop_ids: vec![desktop_id.as_str().to_owned()], ..DesktopFilter::default() };
        let mut connection = self.store.acquire().await?;
        let mut found = desktop::page(&mut connection, caller.project_id(), &filter, 1).await?;
        found.pop().ok_or_else(|| Error::not_found(format!("desktop {desktop_id} does not exist")))
    }
}
