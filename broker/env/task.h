// task.h: Task<T>, a coroutine that runs on one core. `co_await` starts it and yields its value.
//
// A task resumes on the core where it began. It is never cancelled: every wait inside has a deadline, and stopping
// notifies the events it waits for. No exception of ours leaves a task.
#pragma once

#if !defined(__clang__)
#error "build with clang 19: g++ 12 destroys temporaries of co_await expressions twice (architecture, section 7)"
#endif

#include <boost/asio/awaitable.hpp>

namespace forelog {

template <class T>
using Task = boost::asio::awaitable<T>;

}  // namespace forelog
