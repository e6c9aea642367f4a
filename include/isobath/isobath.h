/* Everything of libisobath: temporally consistent depth from video. */
#ifndef ISOBATH_ISOBATH_H
#define ISOBATH_ISOBATH_H

#include <isobath/batch.h>
#include <isobath/check.h>
#include <isobath/convert.h>
#include <isobath/doctor.h>
#include <isobath/eval.h>
#include <isobath/info.h>
#include <isobath/join.h>
#include <isobath/models.h>
#include <isobath/report.h>
#include <isobath/session.h>
#include <isobath/split.h>
#include <isobath/status.h>
#include <isobath/task.h>
#include <isobath/track.h>
#include <isobath/stream.h>

#endif
