/* Two lanes: streams that begin and end together (op/transfer.h). */
#include "backend/cuda/common.cuh"

isobath_status ib_cuda_lane(ib_backend *backend, int lane)
{
    ib_cuda_backend *be = ib_cuda(backend);
    const int join = lane == IB_LANES_JOIN;
    if (join == be->in_lanes) { /* begin or end: an event of one stream for the other to wait for */
        cudaEvent_t event = be->lane_event[join];
        IB_TRY(ib_cuda_check(backend, cudaEventRecord(event, be->lane_stream[join]), "lane"));
        IB_TRY(ib_cuda_check(backend, cudaStreamWaitEvent(be->lane_stream[!join], event, 0), "lane"));
    }
    be->in_lanes = !join;
    be->stream = be->lane_stream[join ? 0 : lane];
    be->workspace = be->lane_workspace[join ? 0 : lane];
    /* A kernel that takes its places early would keep the other lane's off the device. */
    be->early_launch = join && be->code_arch >= 900;
    return ISOBATH_OK;
}
