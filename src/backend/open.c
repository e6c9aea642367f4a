/* What of backend.h belongs to no single backend. */
#include "backend/backend.h"

void ib_backend_close(ib_backend *backend)
{
    if (backend) backend->ops->close(backend);
}
