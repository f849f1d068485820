// planted.h: whether a planted bug is on. Only the copies of broker sources that planted.py writes include this.
#pragma once

namespace forelog {

bool planted(const char* bug);

}  // namespace forelog
